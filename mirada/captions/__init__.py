"""Captions of pictures, written by people or by a model, and their vectors."""
