"""Stores of originals: the port `mirada.ports.ImageStore`."""
