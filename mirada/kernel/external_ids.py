"""External ids: what another system calls an image that came from it, and how its clients are answered."""

from __future__ import annotations

import re
import unicodedata

from mirada.kernel.errors import InvalidInput

MAX_EXTERNAL_ID_CHARACTERS = 191
"""The width of the column: what MySQL indexes in utf8mb4 on every version."""
LARGEST_NUMBER = 2**53
"""Numbers above it lose digits in JavaScript, so such an id stays text."""
CREATIVE_MEMORY = "creative-memory"
IMAGE_SEARCH = "image-search"
CLASSIFIER = "classifier"
CAPTIONED_POSTS = "captioned-posts"
"""Names of sources whose clients have routes of their own here."""
_NUMBER = re.compile("0|[1-9][0-9]{0,15}", re.ASCII)
_SOURCE = re.compile(r"[a-z0-9][a-z0-9._:-]{0,63}", re.ASCII)


def checked_external_id(text: object) -> str:
    """Return an id of another system as it is kept: a whole number as its digits, text as it is.

    Raises:
        InvalidInput: neither; or it is empty, too long, has a slash, blanks at an end, or characters
            that cannot be seen.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if (
        isinstance(text, str)
        and 0 < len(text) <= MAX_EXTERNAL_ID_CHARACTERS
        and text == text.strip()
        and "/" not in text
        and not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text)
    ):
        return text
    raise InvalidInput(
        f"An external id is a whole number, or text of 1 to {MAX_EXTERNAL_ID_CHARACTERS} characters "
        "without slashes, blanks at an end and characters that cannot be seen.",
        fields={"external_id": [f"1 to {MAX_EXTERNAL_ID_CHARACTERS} characters."]},
    )


def checked_source(text: str) -> str:
    """Return the name of a source. Raises InvalidInput."""
    if _SOURCE.fullmatch(text):
        return text
    raise InvalidInput(
        "The name of a source has 1 to 64 small letters, digits, dots, colons, _ and -, such as "
        f"{IMAGE_SEARCH} or shop:2019."
    )


def number_of(external_id: str) -> int | None:
    """Return the number that an external id is; None for text, and for one that JavaScript rounds.

    >>> number_of("17"), number_of("017"), number_of("a-1")
    (17, None, None)
    """
    if not _NUMBER.fullmatch(external_id):
        return None
    number = int(external_id)
    return number if number <= LARGEST_NUMBER else None


def known_as(external_id: str | None, own_id: int) -> int | str:
    """Return what clients of the old system call something: its old id, a number where it is one."""
    if external_id is None:
        return own_id
    number = number_of(external_id)
    return external_id if number is None else number


def is_of_source(external_source: str | None, kind: str) -> bool:
    """Return whether an import's name is of this kind, with or without a name of its own behind it.

    >>> is_of_source("image-search:shop", "image-search"), is_of_source(None, "image-search")
    (True, False)
    """
    return external_source is not None and external_source.partition(":")[0] == kind
