"""Rules for texts as the OpenAPI document tells them, and as both Python and JavaScript read them.

The core checks texts itself, and says more about a fault. These patterns only keep clients from
sending what it is sure to refuse.
"""

from __future__ import annotations

from mirada.kernel.asset_ids import MAX_ASSET_ID_CHARACTERS
from mirada.kernel.external_ids import MAX_EXTERNAL_ID_CHARACTERS
from mirada.kernel.labels import MAX_NAME_CHARACTERS

_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_INVISIBLE = (
    _CONTROL + r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_ACCENTS = r"\u0300-\u036f"

STORED = r"^[^\u0000]*$"
"""Of any length and on any number of lines."""
ONE_LINE = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
"""Not blank, without control characters."""
NAME = rf"^[^{_INVISIBLE}]*[^\s{_INVISIBLE}{_ACCENTS}][^{_INVISIBLE}]*$"
"""Not blank, nothing invisible."""
TEMPLATE = rf"^[^{_INVISIBLE}{{}}]*\{{\}}[^{_INVISIBLE}{{}}]*$"
"""One line with one {}."""
SEEN = (
    rf"^[^\u0000]*[^\s{_CONTROL}{_ACCENTS}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\u0000]*$"
)
"""Of any length and on any number of lines, with something to see."""
IN_A_HEADER = r"^[!-~]+$"
"""Printable ASCII without blanks."""
_QUOTED = rf'"[^{_INVISIBLE}"\\]*[^\s{_INVISIBLE}{_ACCENTS}"\\][^{_INVISIBLE}"\\]*"'
_WITH_PLACE = rf'"[^{_INVISIBLE}{{}}"\\]*\{{\}}[^{_INVISIBLE}{{}}"\\]*"'
_LISTED = rf"[^\s\[,{_INVISIBLE}{_ACCENTS}\"][^,{_INVISIBLE}\"]*"
NAMES_IN_A_FORM = rf"^(?:\[ *{_QUOTED}(?: *, *{_QUOTED})* *\]|{_LISTED}(?:, *{_LISTED})*)$"
"""A JSON array, or names separated by commas."""
TEMPLATES_IN_A_FORM = rf"^\[ *{_WITH_PLACE}(?: *, *{_WITH_PLACE})* *\]$"
"""A JSON array."""
_TURNING = r"\u200e\u200f\u202a-\u202e\u2066-\u2069"
FILENAME = rf"^[^{_CONTROL}{_TURNING}]*[^\s{_CONTROL}{_TURNING}][^{_CONTROL}{_TURNING}]*$"
"""Part of a file's name: not blank, without control characters and those that turn the writing direction."""
_SEEN_IN_AN_ID = rf"[^\s/{_INVISIBLE}]"
EXTERNAL_ID = {
    "maxLength": MAX_EXTERNAL_ID_CHARACTERS,
    "pattern": rf"^{_SEEN_IN_AN_ID}(?: *{_SEEN_IN_AN_ID})*$",
}
ASSET_ID = {"maxLength": MAX_ASSET_ID_CHARACTERS, "pattern": ONE_LINE}
THEME = {"maxLength": MAX_NAME_CHARACTERS, "pattern": NAME}
"""Of labels and styles as well."""
