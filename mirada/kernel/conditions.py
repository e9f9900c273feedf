"""The conditions of a filter by the names that requests and commands give them. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.colours import ColourName
from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import checked_external_id
from mirada.kernel.filters import Area, ImageFilter, Judged, Shape
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.images import ImageStatus
from mirada.kernel.label_words import label_called
from mirada.kernel.labels import normalised_name
from mirada.kernel.tags import normalised_tag, tag_key
from mirada.kernel.themes import theme_key
from mirada.kernel.user_text import MAX_FILENAME_CHARS, checked_part_of_filename

MAX_VALUES = 100
"""Values of one condition."""
IS_PUBLIC = {"public": True, "private": False}
IS_ANIMATED = {"still": False, "animated": True}
NO_MOMENT = "Must be a time as ISO 8601 writes it, such as 2026-01-31 or 2026-01-31T12:00:00Z."
_YES_OR_NO = {"true": True, "false": False}


def moment_of(text: object) -> datetime:
    """Return a time, or the first moment of a date, in UTC; without a time zone it is in UTC.

    Raises:
        InvalidInput: it is neither.
    """
    try:
        if not isinstance(text, str):
            raise TypeError
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(NO_MOMENT) from error


def filter_of(fields: Mapping[str, Any] | None, nsfw_threshold: float) -> ImageFilter:
    """Return the filter that checked conditions ask for.

    Args:
        fields: the conditions by their names, beside others or not; None for no filter.
        nsfw_threshold: least score that is unsafe.
    """
    given = fields or {}

    def one(name: str, means: Callable[[Any], Any] = lambda value: value) -> Any:
        value = given.get(name)
        return None if value is None else means(value)

    return ImageFilter(
        owner_ids=one("owner", frozenset),
        is_public=one("visibility", IS_PUBLIC.__getitem__),
        statuses=one("status", lambda values: frozenset(map(ImageStatus, values))),
        is_animated=one("kind", IS_ANIMATED.__getitem__),
        shapes=one("shape", lambda values: frozenset(map(Shape, values))),
        colours=one("colour", lambda values: frozenset(map(ColourName, values))),
        has_prompt=one("has_prompt"),
        is_liked=one("liked"),
        created_after=one("created_after"),
        created_before=one("created_before"),
        theme=one("theme"),
        labels=one("label", frozenset),
        group_id=one("group"),
        nsfw=one("nsfw", lambda is_unsafe: Judged(is_unsafe, nsfw_threshold)),
        filename=one("filename"),
        asset_id=one("asset_id"),
        area=one("area", Area.read),
        tags=one("tag", lambda values: frozenset(map(tag_key, values))),
        shows=one("shows", lambda values: frozenset(map(label_called, values))),
        pack_id=one("pack"),
        external_id=one("external_id"),
    )


def read_conditions(written: Iterable[str]) -> dict[str, Any]:
    """Return conditions that are written NAME=VALUE, checked, as `filter_of` takes them.

    A condition that takes several values is written once for each.

    >>> read_conditions(["kind=still", "shape=square", "shape=portrait"])
    {'kind': 'still', 'shape': ['square', 'portrait']}

    Raises:
        InvalidInput: one has no such form, name or value, or one that takes one value is there twice.
    """
    found: dict[str, Any] = {}
    for text in written:
        name, sign, value = (each.strip() for each in text.partition("="))
        if not sign or name not in _READ:
            names = ", ".join(sorted(_READ))
            raise InvalidInput(
                f"'{text}' is no condition. One is written NAME=VALUE, such as kind=still; the names "
                f"are {names}."
            )
        try:
            checked = _READ[name](value)
        except InvalidInput as error:
            raise InvalidInput(f"The condition '{text}': {error.detail}") from error
        if name not in SEVERAL and name in found:
            raise InvalidInput(f"The condition '{name}' takes one value, and has two.")
        found[name] = [*found.get(name, []), checked] if name in SEVERAL else checked
        if name in SEVERAL and len(found[name]) > MAX_VALUES:
            raise InvalidInput(f"The condition '{name}' takes {MAX_VALUES} values at most.")
    return found


def written_conditions(fields: Mapping[str, Any]) -> list[str]:
    """Return checked conditions as `read_conditions` takes them.

    >>> written_conditions({"kind": "still", "tag": ["a", "b"], "liked": True, "theme": None})
    ['kind=still', 'tag=a', 'tag=b', 'liked=true']
    """
    return [
        f"{name}={_written(each)}"
        for name, value in fields.items()
        if value is not None
        for each in (value if isinstance(value, list | tuple) else [value])
    ]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _among(values: Iterable[str]) -> Callable[[str], str]:
    known = list(values)

    def read(text: str) -> str:
        if text not in known:
            raise InvalidInput(f"It takes {', '.join(known)}.")
        return text

    return read


def _yes_or_no(text: str) -> bool:
    return _YES_OR_NO[_among(_YES_OR_NO)(text)]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= LARGEST_ID):
        raise InvalidInput("It takes a number from 1.")
    return int(text)


def _part_of_filename(text: str) -> str:
    if len(text) > MAX_FILENAME_CHARS:
        raise InvalidInput(f"It takes {MAX_FILENAME_CHARS} characters at most.")
    return checked_part_of_filename(text)


def _area(text: str) -> str:
    return str(Area.read(text))


SEVERAL = frozenset({"owner", "status", "shape", "colour", "label", "shows", "tag"})
"""The conditions that take several values, and mean any of them; of tags all."""
_READ: Mapping[str, Callable[[str], Any]] = {
    "owner": _number,
    "visibility": _among(IS_PUBLIC),
    "status": _among(each.value for each in ImageStatus),
    "kind": _among(IS_ANIMATED),
    "shape": _among(each.value for each in Shape),
    "colour": _among(each.value for each in ColourName),
    "has_prompt": _yes_or_no,
    "liked": _yes_or_no,
    "created_after": moment_of,
    "created_before": moment_of,
    "theme": theme_key,
    "label": normalised_name,
    "group": _number,
    "nsfw": _yes_or_no,
    "filename": _part_of_filename,
    "asset_id": checked_asset_id,
    "area": _area,
    "tag": normalised_tag,
    "shows": normalised_name,
    "pack": _number,
    "external_id": checked_external_id,
}
