"""Health checks for operators: dependencies, models, and the consistency of the database."""
