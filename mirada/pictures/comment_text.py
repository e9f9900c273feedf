"""The text of a comment, checked: plain text that is kept as it was written."""

from __future__ import annotations

import re
import unicodedata

from mirada.kernel.errors import InvalidInput

MAX_COMMENT_CHARACTERS = 2_000
"""Code points, after trimming: what a long message in a gallery has; a page of 100 stays under 1 MB."""
LONGEST_DECOMPOSITION = 4
"""NFD makes at most four characters of one, so a text with more than four times the limit is too long
in NFC as well. It is not normalised: sorting 100,000 combining marks takes eight seconds."""
_LINE_END = re.compile(r"\r\n?")
_CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def comment_text(text: object) -> str:
    """Return a comment as it is kept: in NFC, trimmed, without control characters but the newline.

    Line ends become newlines, and tabs blanks. Marks of the writing direction, joiners and markup
    stay: who shows a comment escapes it, and isolates its direction.

    Raises:
        InvalidInput: not a string, nothing to see in it, longer than MAX_COMMENT_CHARACTERS, or
            with characters that no database stores.
    """
    if not isinstance(text, str):
        raise _refused("A comment is text.")
    # Before anything works on every character: a body may be megabytes.
    if len(text) > 10 * MAX_COMMENT_CHARACTERS:
        raise _too_long(len(text))
    if _NO_TEXT.search(text):
        raise _refused("It holds a NUL or half a surrogate pair, which is not text.")
    plain = _LINE_END.sub("\n", text).replace("\t", " ")
    plain = _CONTROL.sub("", plain).strip()
    if all(character.isspace() or unicodedata.category(character) == "Cf" for character in plain):
        raise _refused("A comment says something; this is empty.")
    if len(plain) > LONGEST_DECOMPOSITION * MAX_COMMENT_CHARACTERS:
        raise _too_long(len(plain))
    composed = unicodedata.normalize("NFC", plain)
    if len(composed) > MAX_COMMENT_CHARACTERS:
        raise _too_long(len(composed))
    return composed


def _too_long(length: int) -> InvalidInput:
    return _refused(f"At most {MAX_COMMENT_CHARACTERS:,} characters; this has {length:,}.")


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"The comment cannot be kept. {reason}", fields={"text": [reason]})
