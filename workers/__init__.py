"""The queue: Dramatiq carries messages, the ledger in the database holds the jobs."""
