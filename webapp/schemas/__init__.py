"""Schemas of requests and replies, one file for each resource that has many of them or shares them."""
