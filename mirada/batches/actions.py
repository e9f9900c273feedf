"""What is done to many images: for each action its state of an image before, after, and how it is written.

All of some hundred images is written in a few statements, within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.orm import Session

from mirada.db import changes, image_tags, word_index
from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image, utc_now
from mirada.db.visibility import may_change
from mirada.kernel.errors import NotAllowed
from mirada.kernel.picture_tokens import new_token
from mirada.pictures.tags import edited

_IMAGES = Image.__table__


class Name(StrEnum):
    """The actions, as requests name them."""

    SET_VISIBILITY = "set_visibility"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"


class Locked(NamedTuple):
    """What actions need of an image, whose row is locked."""

    id: int
    owner_id: int
    content_id: int
    text_ids: tuple[int | None, ...]
    is_public: bool
    is_hidden: bool
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who changes many images; an administrator may also change what is public or hidden."""

    user_id: int
    is_administrator: bool = False

    @property
    def may(self) -> ColumnElement[bool]:
        """The condition on `images` that one is theirs to change."""
        return may_change(self.user_id, is_administrator=self.is_administrator)


State = Any
"""What an action changes of an image, as JSON."""
Images = Mapping[int, Locked]


@dataclass(frozen=True, slots=True)
class Action:
    """One action.

    Attributes:
        state: returns what it changes of an image.
        after: returns that once it is done, by the state, the value and who asks; raises where it may not.
        write: writes the states of images, by image id.
    """

    state: Callable[[Locked], State]
    after: Callable[[Locked, Any, Asker], State]
    write: Callable[[Session, Images, Mapping[int, State]], None]


def locked(session: Session, ids: list[int], condition: ColumnElement[bool]) -> dict[int, Locked]:
    """Return by id those of the images that meet a condition, locked after their contents."""
    owned = select(Image.content_id).where(condition)
    contents = {row.content_id for row in rows_in(session, owned, Image.id, ids)}
    held = select(Content.id).order_by(Content.id).with_for_update()
    for _ in rows_in(session, held, Content.id, contents):
        pass
    columns = select(
        Image.id,
        Image.owner_id,
        Image.content_id,
        Image.prompt_text_id,
        Image.caption_text_id,
        Image.description_text_id,
        Image.is_public,
        Image.is_hidden,
        Image.tags,
    )
    query = columns.where(condition).order_by(Image.id).with_for_update()
    return {
        row.id: Locked(
            row.id,
            row.owner_id,
            row.content_id,
            (row.prompt_text_id, row.caption_text_id, row.description_text_id),
            row.is_public,
            row.is_hidden,
            row.tags or [],
        )
        for row in rows_in(session, query, Image.id, ids)
    }


def _visibility(image: Locked) -> State:
    return {"is_public": image.is_public, "is_hidden": image.is_hidden}


def _shown_to(image: Locked, value: Any, asker: Asker) -> State:
    is_public = value == "public"
    if image.is_public == is_public:
        return _visibility(image)
    if image.is_hidden and not asker.is_administrator:
        raise NotAllowed("An administrator hid this image; only one of them shows it again.")
    is_hidden = not is_public and image.owner_id != asker.user_id
    return {"is_public": is_public, "is_hidden": is_hidden}


_SEEN_BY = {
    "version": _IMAGES.c.version + 1,
    "picture_token": bindparam("token"),
    "updated_at": bindparam("now", type_=_IMAGES.c.updated_at.type),
}
_SHOW = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id == bindparam("image"))
    .values(is_public=bindparam("public"), is_hidden=bindparam("hidden"), **_SEEN_BY)
)


def _write_visibility(session: Session, images: Images, states: Mapping[int, State]) -> None:
    now = utc_now()
    rows = [
        {
            "image": image_id,
            "public": state["is_public"],
            "hidden": state["is_hidden"],
            "token": new_token(),
            "now": now,
        }
        for image_id, state in sorted(states.items())
    ]
    session.execute(_SHOW, rows)
    _touch(session, images, states)
    word_index.rewrite_marked(session, list(states))


def _write_tags(session: Session, _images: Images, states: Mapping[int, State]) -> None:
    image_tags.write(session, states)


def _with_tags(image: Locked, value: Any, _asker: Asker) -> State:
    return list(edited(image.tags, value, ()))


def _without_tags(image: Locked, value: Any, _asker: Asker) -> State:
    return list(edited(image.tags, (), value))


def _touch(session: Session, images: Images, states: Mapping[int, State]) -> None:
    """Note that who may see these images has changed."""
    changes.touch(session, [images[image_id].content_id for image_id in states])
    changes.touch_texts(
        session, [text_id for image_id in states for text_id in images[image_id].text_ids]
    )


ACTIONS: Mapping[Name, Action] = {
    Name.SET_VISIBILITY: Action(_visibility, _shown_to, _write_visibility),
    Name.ADD_TAGS: Action(lambda image: image.tags, _with_tags, _write_tags),
    Name.REMOVE_TAGS: Action(lambda image: image.tags, _without_tags, _write_tags),
}
