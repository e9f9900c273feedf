"""Languages of queries, as BCP 47 writes them: "pt", "pt-BR", "zh-Hant"."""

from __future__ import annotations

import re

from mirada.kernel.errors import InvalidInput

MAX_LANGUAGE_CHARS = 35
"""RFC 5646, section 4.4.1: so many hold any tag in use."""
TAG = r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*$"
"""The form of a tag; whether the language exists is not asked."""
_TAG = re.compile(TAG)


def checked_language(text: str | None) -> str | None:
    """Return a tag in its usual capitals; None for None and for a blank text.

    Raises:
        InvalidInput: it is no tag.
    """
    if text is None or not text.strip():
        return None
    tag = text.strip().replace("_", "-")
    if len(tag) > MAX_LANGUAGE_CHARS or not _TAG.fullmatch(tag):
        reason = "A language is a code such as en, pt or pt-BR."
        raise InvalidInput(reason, fields={"language": [reason]})
    first, *rest = tag.split("-")
    return "-".join([first.lower(), *map(_usual, rest)])


def _usual(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 and part.isalpha() else part.lower()
