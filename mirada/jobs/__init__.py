"""Jobs: the ledger of work that must not be lost, its attempts, its leases and the kinds of work."""
