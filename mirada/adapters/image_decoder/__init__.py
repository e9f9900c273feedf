"""Decoding of untrusted pictures, in child processes with limits."""
