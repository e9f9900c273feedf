"""Verdicts on classified pictures, and the scores they move."""
