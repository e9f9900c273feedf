"""The tags on the page of an image: links that search, and forms that add one or take one off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from mirada.kernel.errors import InvalidInput
from mirada.pictures import tags
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.pages import image_acts
from webapp.pages.explore_address import LIBRARY
from webapp.pages.image_address import page_of_request
from webapp.schemas.tags import tags_in


@dataclass(frozen=True, slots=True)
class TagLink:
    """A tag, and the address of the images that have it."""

    name: str
    address: str


def tag_links(names: Iterable[str]) -> list[TagLink]:
    """Return the tags of an image, each with the address of Explore that shows those that have it."""
    return [TagLink(name, LIBRARY.with_(tag=name)) for name in names]


def add(image_id: int) -> Any:
    """Put tags on it: one, or several separated by commas."""
    asked, written = page_of_request(image_id), image_acts.field("tags")
    try:
        _edit(image_id, add=tags_in(written))
    except ma.ValidationError as error:
        refusal = InvalidInput(" ".join(map(str, error.messages)))
        return image_acts.refused(asked, refusal, {"tags": written})
    except InvalidInput as error:
        return image_acts.refused(asked, error, {"tags": written})
    return image_acts.done(asked, "tags")


def remove(image_id: int) -> Any:
    """Take one tag off; it is no mistake where another tab has done so."""
    asked = page_of_request(image_id)
    _edit(image_id, remove=[image_acts.field("tag")])
    return image_acts.done(asked, "tags")


def _edit(image_id: int, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    user = require_user()
    with current_runtime().transaction() as session:
        tags.edit_tags(
            session,
            image_id,
            user.id,
            add=add,
            remove=remove,
            is_administrator=current_caller().is_administrator,
        )
