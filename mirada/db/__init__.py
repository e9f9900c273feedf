"""The database: the truth about every picture, vector and job. SQLAlchemy lives here, unhidden."""
