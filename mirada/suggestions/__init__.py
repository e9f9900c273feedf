"""Suggestions while somebody types a search, and the searches that they made lately."""
