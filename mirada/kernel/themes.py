"""Themes: the names that verdicts on pictures are kept under."""

from __future__ import annotations

import re
import unicodedata

from mirada.kernel.asset_ids import MAX_ASSET_ID_CHARACTERS
from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_name

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
