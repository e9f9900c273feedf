"""Schemas of requests and replies, one file for each resource."""
