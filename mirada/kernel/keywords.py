"""The words of a query: what is left of a text when everything that a full text might obey is gone.

Standard library only.
"""

from __future__ import annotations

import unicodedata

MAX_WORDS = 32
"""Words of one query that are looked for; a long question is one for the vectors."""
MAX_WORD_CHARS = 100
"""Of a word; what is longer is no word, and no engine indexes it on purpose."""


def words_of(text: str, *, joined_by_underscore: bool = False) -> list[str]:
    """Return the distinct words of a text in its order, at most MAX_WORDS, without case.

    A word is a run of letters, digits and marks, so no operator, quotation mark, blank or control
    character is ever in one. Accents are kept, because the engines fold them in their own ways.

    Args:
        text: anything.
        joined_by_underscore: whether "long_hair" is one word, as it is to MySQL.

    >>> words_of('A cat -- "a CAT"; DROP TABLE images')
    ['a', 'cat', 'drop', 'table', 'images']
    """
    normal = unicodedata.normalize("NFC", text)
    kept = "".join(
        char
        if unicodedata.category(char)[0] in "LNM" or (joined_by_underscore and char == "_")
        else " "
        for char in normal
    )
    # A mark without a letter, or underscores alone, are nothing to look for.
    words = [word.lower()[:MAX_WORD_CHARS] for word in kept.split() if _has_letter(word)]
    return list(dict.fromkeys(words))[:MAX_WORDS]


def without_accents(word: str) -> str:
    """Return a word without the accents of Latin, Greek and Cyrillic letters: "coração", "coracao".

    The letters of other scripts keep their marks, which are no accents there.
    """
    parts = unicodedata.normalize("NFKD", word)
    bare = "".join(char for char in parts if not "\u0300" <= char <= "\u036f")
    return unicodedata.normalize("NFC", bare).lower()


def _has_letter(word: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in word)
