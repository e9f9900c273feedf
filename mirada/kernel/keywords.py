"""Splits a query into words, so that no operator of a full-text engine is left in it.

Standard library only.
"""

from __future__ import annotations

import unicodedata

MAX_WORDS = 32
"""Words of one query that are searched for; longer queries are better answered by vectors."""
MAX_WORD_CHARS = 100
"""Characters of one word; InnoDB indexes words of up to 84 (innodb_ft_max_token_size)."""


def words_of(text: str, *, joined_by_underscore: bool = False) -> list[str]:
    """Return the distinct words of a text in its order, at most MAX_WORDS, without case.

    A word is a run of letters, digits and marks: it holds no operator, quotation mark, blank or
    control character. Accents are kept, because each engine folds them in its own way.

    Args:
        text: any text.
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
    # A mark without a letter, and a run of underscores, are not words.
    words = [word.lower()[:MAX_WORD_CHARS] for word in kept.split() if _has_letter(word)]
    return list(dict.fromkeys(words))[:MAX_WORDS]


def without_accents(word: str) -> str:
    """Return a word without the accents of Latin, Greek and Cyrillic letters: "coração", "coracao".

    Letters of other scripts keep their marks, which are part of the letter there.
    """
    parts = unicodedata.normalize("NFKD", word)
    bare = "".join(char for char in parts if not "\u0300" <= char <= "\u036f")
    return unicodedata.normalize("NFC", bare).lower()


def _has_letter(word: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in word)
