"""The queue: Dramatiq rings, the ledger in the database remembers."""
