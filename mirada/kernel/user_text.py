"""Texts and file names from users: checked before they are stored, cleaned before they are shown."""

from __future__ import annotations

import re
import unicodedata

from mirada.kernel.errors import InvalidInput

MAX_TEXT_CHARS = 10_000
MAX_REASON_CHARS = 500
"""Of an administrator's reason for what they did to somebody's image."""
"""Length of a prompt or a caption: ten times the longest prompts of public galleries. Text encoders
read about 80 tokens of it."""
MAX_FILENAME_CHARS = 255
"""The length of the column, and of file names on common file systems."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the writing direction and can make "gpj.exe" look harmless."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, and halves of surrogate pairs."""


def checked_text(field: str, text: str | None) -> str | None:
    """Return the text unchanged; None for a text without characters other than blanks.

    Raises:
        InvalidInput: it is longer than MAX_TEXT_CHARS, or holds characters that no database stores.
    """
    if text is None or not text.strip():
        return None
    if len(text) > MAX_TEXT_CHARS:
        reason = f"At most {MAX_TEXT_CHARS:,} characters; this has {len(text):,}."
    elif UNSTORABLE.search(text):
        reason = "It holds a NUL or half a surrogate pair, which is not text."
    else:
        return text
    raise InvalidInput(f"The {field} cannot be stored. {reason}", fields={field: [reason]})


def checked_part_of_filename(text: str) -> str:
    """Return a part of a file name as `clean_filename` stores names. Raises InvalidInput."""
    part = unicodedata.normalize("NFC", text)
    if CONTROL.search(part) or UNSTORABLE.search(part) or not part.strip():
        raise InvalidInput(
            "Must hold something to see, and nothing that no file name has here: control characters, "
            "and those that turn the writing direction."
        )
    return part


def clean_filename(filename: str | None) -> str | None:
    """Return the last part of a client's file name, fit to be shown; None when nothing is left.

    The name is cut to MAX_FILENAME_CHARS and keeps its suffix. It is never used as a path.
    """
    if filename is None:
        return None
    readable = filename.encode("utf-8", "replace").decode("utf-8")
    name = re.split(r"[/\\]", readable)[-1]
    if len(name) > 4 * MAX_FILENAME_CHARS:
        # Sorting a long run of combining marks takes quadratic time, and it is cut below anyway.
        name = name[: 3 * MAX_FILENAME_CHARS] + name[-MAX_FILENAME_CHARS:]
    name = CONTROL.sub("", unicodedata.normalize("NFC", name)).strip()
    if name in ("", ".", ".."):
        return None
    if len(name) > MAX_FILENAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        tail = f"{dot}{suffix}" if stem and len(suffix) <= 10 else ""
        name = name[: MAX_FILENAME_CHARS - len(tail)] + tail
    return name
