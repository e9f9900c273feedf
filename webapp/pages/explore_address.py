"""The address of Explore: words, pictures, filters and order, read and written in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import marshmallow as ma
from flask import request, url_for
from marshmallow import validate

from mirada.kernel.errors import InvalidInput
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.signs import read_signs
from mirada.pictures.image_lists import Sort
from mirada.search.queries import QueryKind
from mirada.search.request import MAX_PARTS, KeptPicture, Part
from webapp.http.rest import ApiParser
from webapp.pages.days import between
from webapp.pages.shell import FRAGMENTS
from webapp.schemas.filters import FILTER_NAMES, FilterParametersSchema
from webapp.schemas.switches import SwitchField

MAX_WORDS = 1_000
"""Characters of the box."""
OF_A_PAGE = ("cursor", "past", "part", "filters", "trashed")
"""Parameters that say which part of a list is shown and how, not which list it is."""
OF_A_SEARCH = ("q", "plus", "minus")
_PICTURE = validate.Regexp(
    r"^p?[1-9][0-9]{0,17}$", error="Must be an image's id, or p and a kept picture's."
)


def _day(name: str) -> ma.fields.Date:
    return ma.fields.Date(data_key=name, load_default=None, allow_none=True)


class ExploreSchema(FilterParametersSchema):
    """The parameters of Explore."""

    q = ma.fields.String(load_default="", validate=validate.Length(0, MAX_WORDS))
    plus = ma.fields.List(ma.fields.String(validate=_PICTURE), load_default=list)
    minus = ma.fields.List(ma.fields.String(validate=_PICTURE), load_default=list)
    mine = SwitchField(load_default=False)
    sort = ma.fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf([each.value for each in Sort])
    )
    month = ma.fields.String(
        load_default=None,
        validate=validate.Regexp(
            r"^20[0-9]{2}-(0[1-9]|1[0-2])$", error="Must be a month such as 2026-01."
        ),
    )
    first_day = _day("from")
    last_day = _day("to")
    cursor = ma.fields.String(load_default=None)
    past = SwitchField(load_default=False)
    filters = SwitchField(load_default=False)
    part = ma.fields.String(load_default=None, validate=validate.OneOf(FRAGMENTS))
    trashed = ma.fields.Integer(load_default=None, validate=validate.Range(1, LARGEST_ID))


@dataclass(frozen=True, slots=True)
class Chip:
    """A picture of the query.

    Attributes:
        name: an image's id, or p and the id of a picture that is kept to ask with.
        is_wanted: whether more like it is asked for, or less.
    """

    name: str
    is_wanted: bool

    @property
    def part(self) -> Part:
        """The picture as a part of a search."""
        weight = 1.0 if self.is_wanted else -1.0
        if self.name.startswith("p"):
            return Part(QueryKind.PICTURE, KeptPicture(int(self.name[1:])), weight)
        return Part(QueryKind.IMAGE_ID, int(self.name), weight)


@dataclass(frozen=True, slots=True)
class ExploreAddress:
    """What an address of Explore says.

    Attributes:
        words: of the box, signs included.
        chips: the pictures beside the words.
        conditions: validated fields of the filter.
        mine: only the caller's own images.
        sort: the order of a list, and of what is relevant in a search; None for the usual one.
        cursor: of a later page; None for the first.
        past: an earlier page has shown where relevance ends.
        filters: whether the panel with the filters is open.
        trashed: the image that was just put into the trash from here; None for none.
        sent: the parameters that say which list this is, as they were sent.
    """

    words: str
    chips: tuple[Chip, ...]
    conditions: Mapping[str, Any]
    mine: bool
    sort: Sort | None
    cursor: str | None
    past: bool
    filters: bool = False
    trashed: int | None = None
    sent: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether anything is searched for; else this is a list."""
        return bool(self.words or self.chips)

    @property
    def filter_json(self) -> str:
        """The conditions as requests have them in JSON."""
        given = {name: value for name, value in self.conditions.items() if value is not None}
        return json.dumps(given, default=datetime.isoformat)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The query's parts.

        Raises:
            InvalidInput: the signs cannot be read, or there are too many parts.
        """
        is_alone = not any(chip.is_wanted for chip in self.chips)
        signed = read_signs(self.words, is_alone=is_alone) if self.words else []
        of_words = [
            Part(QueryKind.TEXT, one.text, 1.0 if one.is_wanted else -1.0) for one in signed
        ]
        parts = (*(chip.part for chip in self.chips), *of_words)
        if len(parts) > MAX_PARTS:
            raise InvalidInput(
                f"A search may have {MAX_PARTS} pictures, phrases and words with a minus; this has "
                f"{len(parts)}."
            )
        return parts

    @property
    def here(self) -> str:
        """The address of this page of the list."""
        return self.with_(**self._page)

    @property
    def narrowing(self) -> Iterator[tuple[str, str]]:
        """Each parameter and value beside words and pictures, in their order."""
        for name, values in self.sent.items():
            if name not in OF_A_SEARCH:
                yield from ((name, value) for value in values if value)

    def with_(self, **changes: Any) -> str:
        """Return the address of the first page of the same list but for these parameters.

        Args:
            changes: by name; None or an empty list leaves one out.
        """
        given = {**self.sent, **changes}
        return url_for(
            "pages.explore", **{k: v for k, v in given.items() if v not in (None, [], "")}
        )

    def of_image(self, image_id: int, endpoint: str = "pages.image", **more: Any) -> str:
        """Return the address of an image of this list, from which one finds back to its page of the list.

        Args:
            image_id: which image.
            endpoint: of its page, or of what is done there.
            more: further parameters of that address.
        """
        given: dict[str, Any] = {**self.sent, **self._page, **more}
        return url_for(endpoint, image_id=image_id, **given)

    def at_image(self, image_id: int) -> str:
        """Return the address of this page of the list, at one of its images."""
        return f"{self.here}#i{image_id}"

    def after_deleting(self, image_id: int) -> str:
        """Return the address of this page of the list, which offers to take an image out of the trash."""
        return self.with_(**self._page, trashed=image_id)

    @property
    def _page(self) -> dict[str, str]:
        """The parameters that say which page of the list this is; none for the first."""
        given = {"cursor": self.cursor, "past": "1" if self.past else None}
        return {name: value for name, value in given.items() if value}

    def without(self, name: str, value: str) -> str:
        """Return the address without one value of a parameter."""
        return self.with_(**{name: [each for each in self.sent[name] if each != value]})

    def without_filters(self) -> str:
        """Return the address of the words, pictures and order alone."""
        return self.with_(**dict.fromkeys(set(self.sent) - {*OF_A_SEARCH, "sort"}))

    def without_chip(self, chip: Chip) -> str:
        """Return the address without one picture."""
        return self._with_chips([each for each in self.chips if each != chip])

    def with_chip_turned(self, chip: Chip) -> str:
        """Return the address with one picture wanted where it was not, or the other way round."""
        turned = Chip(chip.name, not chip.is_wanted)
        return self._with_chips([turned if each == chip else each for each in self.chips])

    def with_chip(self, name: str, *, is_wanted: bool) -> str:
        """Return the address with one more picture, or with its sign changed."""
        others = [each for each in self.chips if each.name != name]
        return self._with_chips([*others, Chip(name, is_wanted)])

    def _with_chips(self, chips: list[Chip]) -> str:
        wanted = [chip.name for chip in chips if chip.is_wanted]
        unwanted = [chip.name for chip in chips if not chip.is_wanted]
        return self.with_(plus=wanted, minus=unwanted)


def with_picture(picture_id: int, path: str) -> str:
    """Return an address of Explore with a kept picture more.

    Args:
        picture_id: of the kept picture, which is asked for more of.
        path: an address of this server; of another page than Explore nothing is kept.
    """
    page, _, query = path.partition("?")
    sent = parse_qs(query) if page == url_for("pages.explore") else {}
    kept = {name: values for name, values in sent.items() if name not in OF_A_PAGE}
    return _written({**kept, "plus": [*kept.get("plus", []), f"p{picture_id}"]})


def cleaned() -> str | None:
    """Return the request's address without the empty fields of a form; None where it has none."""
    if all(value for values in request.args.listvalues() for value in values):
        return None
    return _written({name: [each for each in some if each] for name, some in request.args.lists()})


def _written(parameters: Mapping[str, list[str]]) -> str:
    query = urlencode(parameters, doseq=True)
    return url_for("pages.explore") + (f"?{query}" if query else "")


def address_of_request() -> ExploreAddress:
    """Return what the request's address says.

    Raises:
        HTTPException: (422) a parameter is wrong, or there is none of that name.
    """
    return address_of(ApiParser().parse(ExploreSchema, request, location="query", unknown=ma.RAISE))


def address_of(fields: Mapping[str, Any]) -> ExploreAddress:
    """Return the list that validated fields of the request's address name; others may be among them."""
    chips = [Chip(name, is_wanted=True) for name in fields["plus"]]
    chips += [Chip(name, is_wanted=False) for name in fields["minus"] if name not in fields["plus"]]
    return ExploreAddress(
        words=fields["q"].strip(),
        chips=tuple(dict.fromkeys(chips)),
        conditions={
            **{name: fields[name] for name in FILTER_NAMES if name in fields},
            **between(fields),
        },
        mine=fields["mine"],
        sort=None if fields["sort"] is None else Sort(fields["sort"]),
        cursor=fields["cursor"],
        past=fields["past"],
        filters=fields["filters"],
        trashed=fields["trashed"],
        sent={
            name: request.args.getlist(name)
            for name in request.args
            if name in _OF_A_LIST and any(request.args.getlist(name))
        },
    )


LIBRARY = ExploreAddress("", (), {}, mine=False, sort=None, cursor=None, past=False)
"""The whole library, newest first."""
_OF_A_LIST = {field.data_key or name for name, field in ExploreSchema().fields.items()} - {
    *OF_A_PAGE
}
