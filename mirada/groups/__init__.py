"""Groups of alike pictures and near-duplicates, as each viewer sees them."""
