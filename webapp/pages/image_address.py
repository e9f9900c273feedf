"""The address of an image's page: which image, the list that one comes from, and what is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from flask import request
from marshmallow import validate

from mirada.kernel.ids import LARGEST_ID
from mirada.search.neighbours import Neighbour
from webapp.http.rest import ApiParser
from webapp.pages.explore_address import ExploreAddress, ExploreSchema, address_of
from webapp.schemas.switches import SwitchField

HOUR_S, DAY_S, WEEK_S = 3_600, 86_400, 604_800
"""How long a link for somebody outside counts, in seconds."""
SECTIONS = ("stage", "head", "tags", "packs", "labels", "made", "comments", "related")
"""What a script replaces alone."""
_ID = validate.Range(1, LARGEST_ID)


class ImagePageSchema(ExploreSchema):
    """The parameters of an image's page: those of the list, and its own."""

    section = ma.fields.String(load_default="stage", validate=validate.OneOf(SECTIONS))
    moves = SwitchField(load_default=None)
    verdict = ma.fields.Integer(load_default=None, validate=_ID)
    was = SwitchField(load_default=None)
    related = ma.fields.String(
        load_default="picture", validate=validate.OneOf(["picture", "prompt"])
    )
    comments = ma.fields.Integer(load_default=None, validate=_ID)
    out_of_pack = ma.fields.String(load_default=None, validate=validate.Length(1, 64))
    share = ma.fields.Integer(load_default=None, validate=validate.OneOf([HOUR_S, DAY_S, WEEK_S]))


@dataclass(frozen=True, slots=True)
class ImagePage:
    """What an address of an image's page says.

    Attributes:
        image_id: which image.
        list: from which one came to it.
        section: which section a script asks for.
        moves: whether an animation is to move; None as the browser's user likes it.
        verdict: the id of a verdict whose effect is to be told.
        was: what the caller had said before that verdict.
        related: "picture" or "prompt": in which way other images are like it.
        comments: the id of a comment; those behind it are shown.
        share: for how many seconds a link for somebody outside is asked for; None for no link.
        out_of_pack: names what took it out of a pack just now, to be undone; None for nothing.
    """

    image_id: int
    list: ExploreAddress
    section: str
    moves: bool | None
    verdict: int | None
    was: bool | None
    related: str
    comments: int | None
    share: int | None
    out_of_pack: str | None = None

    def with_(self, **changes: Any) -> str:
        """Return the address of this page with these parameters of its own, and no others."""
        return self.list.of_image(self.image_id, **changes)

    def act(self, name: str) -> str:
        """Return where a form of this page is sent."""
        return self.list.of_image(self.image_id, f"pages.image_{name}")

    def beside(self, other: Neighbour) -> str:
        """Return the address of another image of the same list, on the page of it that it is on."""
        past = "1" if other.past else None
        return self.list.of_image(other.image_id, cursor=other.cursor, past=past)

    @property
    def back(self) -> str:
        """The address of the list at this image."""
        return self.list.at_image(self.image_id)


def page_of_request(image_id: int) -> ImagePage:
    """Return what the request's address says.

    Raises:
        HTTPException: (422) a parameter is wrong, or there is none of that name.
    """
    fields = ApiParser().parse(ImagePageSchema, request, location="query", unknown=ma.RAISE)
    return ImagePage(
        image_id,
        address_of(fields),
        section=fields["section"],
        moves=fields["moves"],
        verdict=fields["verdict"],
        was=fields["was"],
        related=fields["related"],
        comments=fields["comments"],
        share=fields["share"],
        out_of_pack=fields["out_of_pack"],
    )
