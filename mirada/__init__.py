"""Mirada's core: pictures in, understood, and found again. It knows neither Flask nor Dramatiq."""
