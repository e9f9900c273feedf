"""Which labels a picture shows: classification, the label set, and label expansions."""
