"""Names of themes and the notes beside verdicts, checked; `adaptive` moves the scores."""

from __future__ import annotations

import re
import unicodedata

from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_name

MAX_ASSET_ID_CHARACTERS = 191
"""The column's length: what MySQL indexes in utf8mb4 on every version. Of a theme's key too."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLASHES = re.compile(r"/{2,}")


def theme_key(text: object) -> str:
    """Return the name that verdicts on a theme are kept under: "Cute  Cats" and "cute cats" are one.

    A `normalised_name`, casefolded, 1 to 191 characters. Slashes are single and not at an end, so
    that every theme has an address.

    Raises:
        InvalidInput: as `normalised_name` does.
    """
    try:
        name = normalised_name(text)
    except InvalidInput as error:
        raise InvalidInput(
            f"The theme: {error.detail}", fields={"theme": [error.detail]}
        ) from error
    folded = unicodedata.normalize("NFC", name.casefold())
    # Casefolding makes up to three letters of one; such a name is kept as it is written.
    key = folded if len(folded) <= MAX_ASSET_ID_CHARACTERS else name
    return _SLASHES.sub("/", key).strip("/ ") or "/"


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


def image_hash(text: str) -> str | None:
    """Return a picture's SHA-256 as 64 lower-case hex digits, None for what cannot be one."""
    lower = text.strip().lower() if len(text) < 100 else ""
    return lower if _SHA256.fullmatch(lower) else None
