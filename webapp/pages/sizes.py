"""Sizes of files as people say them."""

from __future__ import annotations

from flask_babel import format_decimal

KILO = 1_000


def told_size(byte_size: int) -> str:
    """Return a file's size as people say it, in the caller's language."""
    if byte_size < KILO * KILO:
        return f"{format_decimal(round(byte_size / KILO, 1))} KB"
    return f"{format_decimal(round(byte_size / KILO / KILO, 1))} MB"
