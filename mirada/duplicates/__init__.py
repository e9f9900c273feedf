"""Duplicates: finding them, telling them as each viewer sees them, and deciding what becomes of them."""
