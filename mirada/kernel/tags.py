"""Tags: words that people put on images. How they are written, when two are one, and how many there may be.

Standard library only.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_line
from mirada.kernel.user_text import UNSTORABLE

MAX_TAG_CHARACTERS = 100
"""As of labels: longer texts are sentences, which captions are for."""
MAX_TAGS = 100
"""Of one image."""
MAX_KEY_CHARACTERS = 191
"""Of `tag_key`, the length of its column. In small letters a text may be longer than it was: "\u0130"."""


def normalised_tag(text: object) -> str:
    """Return a tag as it is shown: NFC, trimmed, one space between words; commas are part of it.

    Raises:
        InvalidInput: it is not text, holds a control or invisible character, has no letter, digit or
            symbol, or more than MAX_TAG_CHARACTERS.
    """
    tag = normalised_line(text, "A tag", MAX_TAG_CHARACTERS)
    if len(tag_key(tag)) > MAX_KEY_CHARACTERS:
        raise InvalidInput(
            f"A tag may have {MAX_KEY_CHARACTERS} characters in small letters at most."
        )
    return tag


def tag_key(tag: str) -> str:
    """Return what is the same for two tags that are one: without case, in NFC.

    >>> tag_key("Caf\u00c9") == tag_key("cafe\u0301")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", tag).casefold())


def tag_beginning(text: str) -> str:
    """Return what the keys of tags begin with that begin with a text.

    Raises:
        InvalidInput: it holds what no tag may, or is longer than one.
    """
    if len(text) > MAX_TAG_CHARACTERS or UNSTORABLE.search(text):
        raise InvalidInput(f"Must be text of {MAX_TAG_CHARACTERS} characters at most, without NUL.")
    return tag_key(text.lstrip())


def distinct_tags(texts: Iterable[object]) -> tuple[str, ...]:
    """Return tags in their order, normalised; of two that are one the first.

    >>> distinct_tags(["Red  cat", "red cat", "sky"])
    ('Red cat', 'sky')

    Raises:
        InvalidInput: one is no tag, or there are more than MAX_TAGS different ones.
    """
    found: dict[str, str] = {}
    for text in texts:
        tag = normalised_tag(text)
        found.setdefault(tag_key(tag), tag)
        if len(found) > MAX_TAGS:
            raise too_many()
    return tuple(found.values())


def too_many() -> InvalidInput:
    """Return the error of more tags than an image may have."""
    message = f"An image may have {MAX_TAGS} tags at most."
    return InvalidInput(message, fields={"tags": [message]})
