"""The page of an image, whole or one of its sections."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask import Response
from flask_babel import gettext

from mirada.kernel.errors import MiradaError
from mirada.kernel.signs import as_phrase
from mirada.kernel.tags import MAX_TAGS
from mirada.pictures import comments, images, likes
from mirada.pictures.shown_images import ShownImage
from mirada.search.related import RelatedRequest, related_images
from webapp.callers.asking import asked_by_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.pages.duplicates import duplicates_of
from webapp.pages.explore_address import LIBRARY, MAX_WORDS
from webapp.pages.image_address import DAY_S, HOUR_S, WEEK_S, ImagePage
from webapp.pages.image_labels import Told, labels, told_by_address
from webapp.pages.image_neighbours import beside
from webapp.pages.image_packs import in_packs
from webapp.pages.image_sharing import shared
from webapp.pages.image_tags import tag_links
from webapp.pages.shell import is_fragment, page
from webapp.pages.sizes import told_size
from webapp.pages.tiles import Tile, title_of

RELATED = 12
COMMENTS = 50
"""Of one page."""
LONGEST_TITLE = 160
"""Characters of a heading; a longer caption stands whole below it."""


@dataclass(frozen=True, slots=True)
class After:
    """What a form has just done, or why it was refused.

    Attributes:
        refusal: a sentence; None where nothing was refused.
        status: of the reply.
        typed: what was written, by the name of its field.
        told: what a verdict did.
    """

    refusal: str | None = None
    status: int = 200
    typed: Mapping[str, str] = field(default_factory=dict)
    told: Told | None = None


NOTHING = After()


def shown(asked: ImagePage, after: After = NOTHING) -> Response:
    """Return the page, or for a script the section that it asks for.

    Raises:
        NotFound: there is no such image, or the caller may not see it.
    """
    caller = current_caller()
    with current_runtime().reading() as session:
        row = images.get_image(session, asked.image_id, caller.audience)
        liked = likes.liked_among(session, caller.user_id, [row.id])
    after = replace(after, told=after.told or told_by_address(asked, row.content_id))
    image = ShownImage.of(row, caller.user_id, liked=row.id in liked)
    context: dict[str, Any] = {
        "asked": asked,
        "after": after,
        "image": image,
        "tile": Tile(image),
        "library": LIBRARY,
        "heading": _shortened(title_of(image)),
        "is_owner": image.owner_id == caller.user_id,
        "may_hide": caller.is_administrator and image.owner_id != caller.user_id,
        "may_write": caller.user_id is not None,
    }
    if is_fragment():
        section = SECTIONS[asked.section](asked, image, after)
        reply = page(f"_image_{asked.section}.html", **context, **section)
    else:
        for make in SECTIONS.values():
            context |= make(asked, image, after)
        context["duplicates"] = duplicates_of(image) if context["is_owner"] else ()
        reply = page("image.html", title=context["heading"], here="", **context)
    reply.status_code = after.status
    return reply


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else f"{text[: LONGEST_TITLE - 1].rstrip()}…"


def _stage(asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    return {"beside": beside(asked, image)}


def _head(asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    return {
        "shared": shared(asked, image),
        "shares": {
            HOUR_S: gettext("Link for an hour"),
            DAY_S: gettext("Link for a day"),
            WEEK_S: gettext("Link for a week"),
        },
        "size": told_size(image.byte_size),
        "has_trash": bool(current_runtime().settings.trash_days),
    }


def _made(_asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    return {"same_prompt": None if not image.prompt else _asking_for(image.prompt)}


def _tags(_asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    caller = current_caller()
    is_moderator = caller.is_administrator and (image.is_public or image.is_hidden)
    return {
        "tags": tag_links(image.tags or ()),
        "may_tag": is_moderator
        or (caller.user_id is not None and image.owner_id == caller.user_id),
        "most_tags": MAX_TAGS,
    }


def _packs(asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    return {"packs": in_packs(image.id, asked.out_of_pack)}


def _labels(_asked: ImagePage, image: ShownImage, after: After) -> dict[str, Any]:
    return {"labels": labels(image.id), "told": after.told}


def _comments(asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    caller = current_caller()
    with current_runtime().reading() as session:
        found = comments.list_comments(
            session, image.id, caller.audience, cursor=asked.comments, limit=COMMENTS + 1
        )
    rows = found.comments[:COMMENTS]
    is_moderator = caller.is_administrator or image.owner_id == caller.user_id
    return {
        "comment_count": found.comment_count,
        "comments": [
            ShownComment(
                row.id,
                row.user.username,
                row.body,
                row.created_at,
                may_delete=is_moderator or row.user_id == caller.user_id,
            )
            for row in rows
        ],
        "more_comments": rows[-1].id if len(found.comments) > COMMENTS else None,
        # Sent along, so that a form that is sent twice writes once.
        "once": secrets.token_urlsafe(16),
    }


def _related(asked: ImagePage, image: ShownImage, _after: After) -> dict[str, Any]:
    is_by_prompt = asked.related == "prompt" and bool(image.prompt)
    request = RelatedRequest(image.id, asked_by_caller(), RELATED, 1.0 if is_by_prompt else 0.0)
    tiles: Sequence[Tile] = []
    try:
        found = related_images(current_runtime(), request)
        tiles = [Tile(one.image, one.hit.relevance) for one in found.results]
    except MiradaError:
        # The page is of the picture: it is shown while an index or the model cannot be had.
        pass
    return {"related": tiles, "is_by_prompt": is_by_prompt}


SECTIONS: Mapping[str, Callable[[ImagePage, ShownImage, After], dict[str, Any]]] = {
    "stage": _stage,
    "head": _head,
    "tags": _tags,
    "packs": _packs,
    "labels": _labels,
    "made": _made,
    "comments": _comments,
    "related": _related,
}


@dataclass(frozen=True, slots=True)
class ShownComment:
    """A comment, and whether the caller may delete it."""

    id: int
    author: str
    text: str
    created_at: datetime
    may_delete: bool


def _asking_for(prompt: str) -> str:
    """Return the address of a search by a prompt: as one phrase, whatever signs are in it."""
    return LIBRARY.with_(q=as_phrase(prompt, MAX_WORDS))
