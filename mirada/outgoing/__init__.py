"""Requests of this server to servers that somebody else named."""
