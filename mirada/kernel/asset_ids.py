"""Asset ids: what a client calls a picture in its own catalogue."""

from __future__ import annotations

import unicodedata

from mirada.kernel.errors import InvalidInput

MAX_ASSET_ID_CHARACTERS = 191
"""The width of the columns: what MySQL indexes in utf8mb4 on every version."""


def checked_asset_id(text: object) -> str | None:
    """Return what the caller calls a picture, trimmed; None for none.

    Raises:
        InvalidInput: not a string, empty, too long, or with control characters.
    """
    if text is None:
        return None
    if not isinstance(text, str) or not (trimmed := text.strip()):
        raise InvalidInput(
            "An asset id is text that is not empty; leave it out if there is none.",
            fields={"asset_id": ["Text, not empty."]},
        )
    if len(trimmed) > MAX_ASSET_ID_CHARACTERS:
        raise InvalidInput(
            f"An asset id may have {MAX_ASSET_ID_CHARACTERS} characters at most.",
            fields={"asset_id": [f"{MAX_ASSET_ID_CHARACTERS} characters at most."]},
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in trimmed):
        raise InvalidInput(
            "An asset id may not hold control characters.",
            fields={"asset_id": ["No control characters."]},
        )
    return trimmed
