"""The decoder of untrusted pictures, in child processes with limits."""
