"""What every action for many images is made of: who asks, the images it is done to, and its steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mirada.config import Settings
from mirada.db import audit, changes
from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image
from mirada.db.visibility import may_change, may_take_back
from mirada.kernel.audit import Action


class Name(StrEnum):
    """The actions, as requests name them."""

    SET_VISIBILITY = "set_visibility"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    RENAME_TAG = "rename_tag"
    DELETE = "delete"
    RESTORE = "restore"
    ADD_TO_PACK = "add_to_pack"
    REMOVE_FROM_PACK = "remove_from_pack"
    RECLASSIFY = "reclassify"
    RECAPTION = "recaption"
    MERGE = "merge"


class Locked(NamedTuple):
    """What actions need of an image, whose row is locked."""

    id: int
    owner_id: int
    content_id: int
    text_ids: tuple[int | None, ...]
    is_public: bool
    is_hidden: bool
    hidden_reason: str | None
    tags: list[str]
    trashed_at: datetime | None
    lacks_description: bool


@dataclass(frozen=True, slots=True)
class Asker:
    """Who changes many images; an administrator may also change what is public or hidden."""

    user_id: int
    is_administrator: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """What actions work with: the settings, and the request that follows the work into the log."""

    settings: Settings
    request_id: str | None = None


State = Any
"""What an action changes of an image, as JSON; None for nothing."""
Images = Mapping[int, Locked]


class Doing:
    """One action, as one transaction does it to some hundred images, or sets them back.

    Attributes:
        is_of_trash: it is done to images in the trash.
    """

    is_of_trash: ClassVar[bool] = False

    def __init__(self, session: Session, value: Any, asker: Asker, means: Means) -> None:
        """Keep what the request said, as `checked_value` returns it."""
        self.session, self.value, self.asker, self.means = session, value, asker, means

    def check(self) -> None:
        """Raise Conflict where it can be done to no image here."""

    def check_undoing(self) -> None:
        """Raise Conflict where it can be undone for no image here."""

    def begin(self) -> None:
        """Lock what is locked before images, to do it or to undo it.

        Raises:
            NotFound: that is not there, or not the asker's.
            Conflict: that does not take it.
        """

    def hold(self, ids: Collection[int]) -> None:
        """Lock what is locked before these images, to do it or to undo it."""

    def beside(self, ids: Collection[int]) -> Collection[int]:
        """Return further images to lock with these: what is done to these changes them too."""
        return ()

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition on `images` that it may be done to one, or undone."""
        right = may_take_back if self.is_of_trash else may_change
        return right(self.asker.user_id, is_administrator=self.asker.is_administrator)

    def states(self, images: Images) -> dict[int, State]:
        """Return what it changes of each image, as it is now: nothing unless an action says more."""
        return dict.fromkeys(images)

    def after(self, image: Locked, state: State) -> State:
        """Return the state of an image once it is done. Raises MiradaError where it may not be."""
        return state

    def tell(self, images: Images, states: Mapping[int, State]) -> None:
        """Write down what an administrator has done to images of others, by their states now."""
        for each, state in states.items():
            act, owner_id = self.act_of(state), images[each].owner_id
            if act is not None:
                audit.record_of_others(self.session, act, each, owner_id, self.asker.user_id)

    def act_of(self, state: State) -> Action | None:
        """Return what was done to an image that has this state now; None for nothing to tell."""
        return None

    def write(self, images: Images, states: Mapping[int, State]) -> None:
        """Write the states of some of the images, by image id."""

    def set_back(
        self, images: Images, states: Mapping[int, State], left: Mapping[int, State]
    ) -> None:
        """Write the states that some of the images had before; `left` is how the action left them."""
        self.write(images, states)

    def is_same(self, now: State, then: State) -> bool:
        """Return whether an image is still as the action has left it."""
        return bool(now == then)

    def follow(self, images: Sequence[Locked]) -> None:
        """Queue what is to follow for images it was done to, changed or not."""


def locked(
    session: Session, ids: Iterable[int], condition: ColumnElement[bool]
) -> dict[int, Locked]:
    """Return by id those of the images that meet a condition, locked after their contents."""
    ids = list(ids)
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
        Image.hidden_reason,
        Image.tags,
        Image.trashed_at,
        Image.auto_caption,
        Image.description.is_(None).label("is_undescribed"),
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
            row.hidden_reason,
            row.tags or [],
            row.trashed_at,
            bool(row.auto_caption and row.is_undescribed),
        )
        for row in rows_in(session, query, Image.id, ids)
    }


def touch(session: Session, images: Images, states: Mapping[int, State]) -> None:
    """Note that who may see these images has changed."""
    changes.touch(session, [images[image_id].content_id for image_id in states])
    changes.touch_texts(
        session, [text_id for image_id in states for text_id in images[image_id].text_ids]
    )
