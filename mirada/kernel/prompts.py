"""Prompts and captions as texts to embed: their normal form, and the digest that identifies them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_BLANKS = re.compile(r"\s+")


def normalised_prompt(text: str) -> str:
    r"""Return a prompt as it is embedded: NFC, one blank between words, trimmed; case is kept.

    >>> normalised_prompt("  a cat,\n on the  moon ")
    'a cat, on the moon'
    """
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", text)).strip()


def prompt_digest(normalised: str) -> str:
    """Return the SHA-256 of a normalised prompt's UTF-8: 64 lower-case hex digits."""
    return hashlib.sha256(normalised.encode()).hexdigest()
