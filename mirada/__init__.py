"""Mirada's core: pictures in, understood, and found again. It knows neither Flask nor Dramatiq."""

__version__ = "0.1.0"
"""The version of the product, here and nowhere else."""
