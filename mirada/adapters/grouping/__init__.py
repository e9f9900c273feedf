"""Algorithms that compute the centres of groups: the port `mirada.ports.Grouping`."""
