"""Evaluations: how well an encoder finds, for texts, the pictures that people judged to be right."""
