"""Pictures and texts to vectors: the embedding job, the backfill, the index rebuild."""
