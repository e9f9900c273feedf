"""The index that PostgreSQL keeps and searches itself, by pgvector."""
