"""File metadata: the settings that an image generator wrote into a picture, cleaned and bounded.

The values come from an untrusted file. Cleaned, they fit into a database, JSON and a page. Standard
library only, because the decoder's child process imports this module.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mirada.kernel.user_text import MAX_TEXT_CHARS

MAX_NAME_CHARS = 255
"""Length of the name of a generator, sampler or model: the longest file name of file systems."""
MAX_EXTRAS = 32
"""The longest settings line of a well-known program has about 30 entries."""
MAX_EXTRA_NAME_CHARS = 64
MAX_EXTRA_CHARS = 500
MAX_STEPS = 100_000
MAX_SIDE_PX = 1_000_000
MAX_SCALE = 1_000_000.0
"""Chosen here, far above what any program accepts; larger values come from damaged files."""
MAX_DIGITS = 20
"""Digits of a seed: an unsigned 64-bit number has 20."""
SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Characters that no database stores: NUL and halves of surrogate pairs."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Characters that are removed from names: control characters and those that turn the writing direction."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The settings a picture was generated with, as its file tells; None for settings it does not tell.

    Attributes:
        generator: the program's usual name; "Unknown" when only the format is recognised.
        prompt, negative_prompt: storable texts of 1 to MAX_TEXT_CHARS characters.
        seed: decimal digits with an optional minus; text, since many JSON readers lose 64-bit numbers.
        steps: steps of the sampler, >= 0.
        cfg_scale: strength with which the prompt was followed; finite.
        sampler, scheduler, model, model_hash: the program's own names.
        width, height: requested size in pixels, >= 1; the file may have been enlarged since.
        extra: further settings by the program's names, at most MAX_EXTRAS short values.
    """

    generator: str
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: str | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    model: str | None = None
    model_hash: str | None = None
    width: int | None = None
    height: int | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    @classmethod
    def cleaned(cls, generator: object, values: Mapping[str, Any]) -> Self | None:
        """Return the usable values of an untrusted mapping; None if no setting that matters is usable.

        `values` uses this class's names. Values of a wrong type or out of bounds become None; long
        texts are cut.
        """
        extra = values.get("extra")
        made = cls(
            generator=clean_name(generator) or "Unknown",
            prompt=clean_prompt(values.get("prompt")),
            negative_prompt=clean_prompt(values.get("negative_prompt")),
            seed=clean_seed(values.get("seed")),
            steps=_whole(values.get("steps"), MAX_STEPS),
            cfg_scale=_scale(values.get("cfg_scale")),
            sampler=clean_name(values.get("sampler")),
            scheduler=clean_name(values.get("scheduler")),
            model=clean_name(values.get("model")),
            model_hash=clean_name(values.get("model_hash")),
            width=_whole(values.get("width"), MAX_SIDE_PX) or None,
            height=_whole(values.get("height"), MAX_SIDE_PX) or None,
            extra=clean_extra(extra) if isinstance(extra, Mapping) else {},
        )
        said = (made.prompt, made.negative_prompt, made.seed, made.steps, made.model)
        return None if all(value is None for value in said) else made

    def to_json(self) -> dict[str, Any]:
        """Return every field as a JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: object) -> Self | None:
        """Return the file metadata in a JSON object, cleaned again; None where nothing is usable."""
        return cls.cleaned(stored.get("generator"), stored) if isinstance(stored, dict) else None


def clean_prompt(value: object) -> str | None:
    """Return storable text without surrounding blanks, cut at MAX_TEXT_CHARS; None for no text."""
    if not isinstance(value, str):
        return None
    # It is cut before and after: stripping a megabyte is cheap, substituting in one is not.
    text = value.strip()[: 2 * MAX_TEXT_CHARS]
    return UNSTORABLE.sub("", text).strip()[:MAX_TEXT_CHARS].rstrip() or None


def clean_name(value: object, max_chars: int = MAX_NAME_CHARS) -> str | None:
    """Return one line of readable text, cut at `max_chars`; None where nothing is readable."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        value = _number_text(value)
    line = CONTROL.sub(" ", value[: 4 * max_chars])
    return " ".join(line.split())[:max_chars].rstrip() or None


def clean_seed(value: object) -> str | None:
    """Return the digits of a signed or unsigned 64-bit integer; None for any other value."""
    number = _integer(value)
    return str(number) if number is not None and -(2**63) <= number < 2**64 else None


def clean_extra(values: Mapping[Any, Any]) -> dict[str, Scalar]:
    """Return the first MAX_EXTRAS values that are short and have a name."""
    kept: dict[str, Scalar] = {}
    for key, value in values.items():
        if len(kept) == MAX_EXTRAS:
            break
        name = clean_name(key, MAX_EXTRA_NAME_CHARS)
        clean = _scalar(value)
        if name is not None and clean is not None:
            kept[name] = clean
    return kept


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        # A huge integer is never turned into digits, which takes quadratic time.
        if abs(value) <= SAFE_INTEGER:
            return value
        return str(value) if value.bit_length() <= 64 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return clean_name(value, MAX_EXTRA_CHARS)


def _number_text(value: float) -> str:
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else ""
    return repr(value) if math.isfinite(value) else ""


def _integer(value: object) -> int | None:
    """Return the integer in a number or a text of digits; None where it is not exact."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= SAFE_INTEGER else None
    if isinstance(value, str) and len(value) <= 4 * MAX_DIGITS:
        digits = value.strip()
        unsigned = digits.removeprefix("-")
        if unsigned.isascii() and unsigned.isdecimal() and len(unsigned) <= MAX_DIGITS:
            return int(digits)
    return None


def _whole(value: object, most: int) -> int | None:
    number = _integer(value)
    return number if number is not None and 0 <= number <= most else None


def _scale(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and len(value) > 4 * MAX_DIGITS:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= MAX_SCALE else None
