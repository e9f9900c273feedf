"""Pictures made from words by an images API."""
