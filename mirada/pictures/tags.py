"""Tags that people put on images: set, added, taken off, renamed and merged.

A tag is no thing of its own: it is there as long as an image has it. Its name is what its owner wrote
first, so that "cat" and "Cat" do not stand side by side (decision 0068).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from mirada.db import audit, image_tags
from mirada.db.chunks import IN_LIST_ROWS
from mirada.db.deadlocks import in_transaction
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.db.session import Database
from mirada.db.tag_models import ImageTag
from mirada.db.visibility import may_change
from mirada.kernel.audience import Scope
from mirada.kernel.audit import Action
from mirada.kernel.errors import NotFound
from mirada.kernel.tags import MAX_TAGS, distinct_tags, normalised_tag, tag_key, too_many
from mirada.pictures.images import lock_image

FEW_IMAGES = 2_000
"""Own images whose tags are grouped as fast as read by the index of all tags."""


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag as one viewer knows it.

    Attributes:
        key: what is the same for all ways to write it.
        name: as it is written on the oldest image of those that they may see.
        count: images that have it, of those that they may see.
    """

    key: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Renamed:
    """The outcome of renaming a tag.

    Attributes:
        name: as it is written now.
        count: images that were changed.
        is_merged: images of theirs had the new name already.
    """

    name: str
    count: int
    is_merged: bool


def set_tags(
    session: Session,
    image_id: int,
    user_id: int,
    tags: Sequence[object],
    *,
    expected_version: int | None,
    is_administrator: bool = False,
) -> Image:
    """Return an image with these tags instead of those it had; its version grows where they differ.

    Raises:
        InvalidInput: one is no tag, or there are too many.
        NotFound: there is none of theirs to change.
        PreconditionFailed: it is another version by now.
    """
    wanted = distinct_tags(tags)
    changeable = may_change(user_id, is_administrator=is_administrator)
    image = lock_image(session, image_id, changeable, expected_version)
    return _with_tags(session, image, wanted, user_id)


def edit_tags(
    session: Session,
    image_id: int,
    user_id: int,
    *,
    add: Sequence[object] = (),
    remove: Sequence[object] = (),
    is_administrator: bool = False,
) -> Image:
    """Return an image with some tags more or less; what others changed meanwhile stays.

    Raises:
        InvalidInput: one is no tag, or the image would have too many.
        NotFound: there is none of theirs to change.
    """
    more, less = distinct_tags(add), distinct_tags(remove)
    changeable = may_change(user_id, is_administrator=is_administrator)
    image = lock_image(session, image_id, changeable, None)
    return _with_tags(session, image, edited(image.tags or (), more, less), user_id)


def edited(tags: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> tuple[str, ...]:
    """Return an image's tags with some more and some less.

    Raises:
        InvalidInput: there are more than MAX_TAGS then.
    """
    kept = {tag_key(tag): tag for tag in tags}
    for tag in remove:
        kept.pop(tag_key(tag), None)
    for tag in add:
        kept.setdefault(tag_key(tag), tag)
    if len(kept) > MAX_TAGS:
        raise too_many()
    return tuple(kept.values())


def list_tags(
    session: Session, scope: Scope, *, prefix: str = "", after: str | None = None, limit: int = 50
) -> list[TagCount]:
    """Return at most `limit` tags of images in scope, in the order of their keys.

    Args:
        session: any.
        scope: who asks, and which images count.
        prefix: what their keys begin with.
        after: the key of the last tag of the page before; None for the first page.
        limit: >= 1.
    """
    query = (
        select(ImageTag.tag, func.min(ImageTag.image_id), func.count())
        .join(Image, Image.id == ImageTag.image_id)
        .where(in_scope(scope))
        .group_by(ImageTag.tag)
        .order_by(ImageTag.tag)
        .limit(limit)
    )
    if _is_large(session, scope):
        # MariaDB and MySQL would group all images, in 4 s for 300,000. By the index of tags a page ends
        # after its own part of it. Of a few own images they find the tags at once by themselves.
        for dialect in ("mysql", "mariadb"):
            query = query.prefix_with("STRAIGHT_JOIN", dialect=dialect)
    if prefix:
        query = query.where(ImageTag.tag.startswith(prefix, autoescape=True))
    if after is not None:
        query = query.where(ImageTag.tag > after)
    found = session.execute(query).all()
    names = image_tags.names_on(session, {key: image_id for key, image_id, _ in found})
    return [TagCount(key, names.get(key, key), count) for key, _, count in found]


def _is_large(session: Session, scope: Scope) -> bool:
    """Return whether the tags of a scope are read by their index, and not image by image."""
    if scope.audience.owner_ids is None:
        return True
    some = select(Image.id).where(in_scope(scope)).limit(FEW_IMAGES + 1)
    return len(session.execute(some).all()) > FEW_IMAGES


def rename_tag(
    database: Database, name: str, new_name: object, user_id: int, *, is_administrator: bool = False
) -> Renamed:
    """Rename a tag on every image that the user may change, and merge it where one has both.

    It is done in transactions of some hundred images. What a stop leaves over is done by asking again.

    Raises:
        InvalidInput: the new name is no tag.
        NotFound: no image of theirs has it.
    """
    old, new = tag_key(name), normalised_tag(new_name)
    changeable = may_change(user_id, is_administrator=is_administrator)
    after, count, is_merged = 0, 0, False
    while True:
        some = partial(_rename_some, old, new, changeable, after, user_id)
        page = in_transaction(database, some)
        if page.last is None:
            break
        after, count, is_merged = page.last, count + page.count, is_merged or page.is_merged
    if after == 0:
        raise absent_tag(name)
    return Renamed(new, count, is_merged)


@dataclass(frozen=True, slots=True)
class _Page:
    """What one transaction of a renaming did: up to which image, None for none left."""

    last: int | None
    count: int
    is_merged: bool


def _rename_some(
    old: str,
    new: str,
    changeable: ColumnElement[bool],
    after: int,
    user_id: int,
    session: Session,
) -> _Page:
    having = (
        select(Image.id, Image.tags, Image.owner_id)
        .join(ImageTag, ImageTag.image_id == Image.id)
        .where(ImageTag.tag == old, changeable, Image.id > after)
        .order_by(Image.id)
        .limit(IN_LIST_ROWS)
        .with_for_update(of=Image)
    )
    rows = session.execute(having).all()
    found = {row.id: row.tags or [] for row in rows}
    changed = {
        image_id: after_it
        for image_id, tags in found.items()
        if (after_it := renamed(tags, old, new)) != tags
    }
    image_tags.write(session, changed)
    for row in rows:
        if row.id in changed:
            audit.record_of_others(session, Action.IMAGE_TAG, row.id, row.owner_id, user_id)
    is_merged = tag_key(new) != old and any(
        tag_key(new) in map(tag_key, tags) for tags in found.values()
    )
    return _Page(max(found, default=None), len(changed), is_merged)


def absent_tag(name: str) -> NotFound:
    """Return the error of a tag that no image has which is the asker's to change."""
    return NotFound(f"No image of yours has the tag {name[:100]!r}.")


def renamed(tags: Sequence[str], old: str, new: str) -> list[str]:
    """Return tags with one of them, by its key, under another name, once; in the place of the first."""
    kept: dict[str, str] = {}
    for tag in tags:
        key = tag_key(new) if tag_key(tag) == old else tag_key(tag)
        kept.setdefault(key, new if key == tag_key(new) else tag)
    return list(kept.values())


def _with_tags(session: Session, image: Image, wanted: Sequence[str], user_id: int) -> Image:
    """Write tags as far as they differ, and return the image as it is then."""
    others = _written_on_others(session, image, wanted, user_id)
    shown = [others.get(tag_key(tag), tag) for tag in wanted]
    if shown != (image.tags or []):
        session.flush()
        image_tags.write(session, {image.id: shown})
        audit.record_of_others(session, Action.IMAGE_TAG, image.id, image.owner_id, user_id)
        session.refresh(image, ["tags", "version", "updated_at"])
    return image


def _written_on_others(
    session: Session, image: Image, tags: Sequence[str], user_id: int
) -> Mapping[str, str]:
    """Return by key how the owner has written those of these tags that this image has not.

    On images that the user sees who puts them on.
    """
    there = {tag_key(tag) for tag in image.tags or ()}
    new = [tag for tag in tags if tag_key(tag) not in there]
    written = image_tags.as_owner_writes(session, image.owner_id, new, user_id)
    return {tag_key(tag): tag for tag in written}
