"""The rows of tags: written with the images that have them, and read as a viewer may see them.

Whoever may see an image sees its tags, and nobody else learns of them: every count and every name here is
of images in a scope.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, union_all, update
from sqlalchemy.orm import Session

from mirada.db import changes, word_index
from mirada.db.chunks import rows_in
from mirada.db.filters import in_scope
from mirada.db.models import Image, utc_now
from mirada.db.tag_models import ImageTag
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.tags import tag_key

_TAGS, _IMAGES = ImageTag.__table__, Image.__table__
_REMOVE = delete(_TAGS).where(  # type: ignore[arg-type]
    _TAGS.c.image_id.in_(bindparam("ids", expanding=True))
)
_SHOW = (
    update(_IMAGES)  # type: ignore[arg-type]
    .where(_IMAGES.c.id == bindparam("image"))
    .values(
        tags=bindparam("shown", type_=_IMAGES.c.tags.type),
        version=_IMAGES.c.version + 1,
        updated_at=bindparam("now", type_=_IMAGES.c.updated_at.type),
    )
)


def as_owner_writes(
    session: Session, owner_id: int, tags: Sequence[str], viewer_id: int
) -> list[str]:
    """Return tags as they are written on the owner's oldest image that has each; new ones as they are.

    Of images that the viewer may see: an administrator who tags a public image does not learn how its
    owner writes on private ones. Each tag is looked up by itself, so that the first image ends it.
    """
    keys = {tag_key(tag): tag for tag in tags}
    if not keys:
        return []
    own = (
        select(ImageTag.tag, ImageTag.name)
        .join(Image, Image.id == ImageTag.image_id)
        .where(may_see(Audience(viewer_id, frozenset({owner_id}))))
        .order_by(ImageTag.image_id)
        .limit(1)
    )
    first = [select(own.where(ImageTag.tag == key).subquery()) for key in keys]
    known = {row.tag: row.name for row in session.execute(union_all(*first))}
    return [known.get(key, tag) for key, tag in keys.items()]


def write_new(session: Session, image: Image) -> None:
    """Write the rows of an image that was just inserted with its `tags`."""
    if image.tags:
        session.execute(insert(ImageTag), _rows(image.id, image.tags))


def write(session: Session, tags: Mapping[int, Sequence[str]]) -> None:
    """Give these images, whose rows are locked, these tags; the version of each grows by one.

    Args:
        session: a transaction; no object of it has one of the images with changes not yet flushed.
        tags: distinct ones in their order, by image id.
    """
    if not tags:
        return
    ids, now = sorted(tags), utc_now()
    session.execute(
        _SHOW, [{"image": each, "shown": list(tags[each]) or None, "now": now} for each in ids]
    )
    session.execute(_REMOVE, {"ids": ids})
    rows = [row for image_id in ids for row in _rows(image_id, tags[image_id])]
    if rows:
        session.execute(insert(ImageTag), rows)
    word_index.rewrite(session, ids)
    changes.note(session)


def names_in(session: Session, scope: Scope, keys: Collection[str]) -> dict[str, str]:
    """Return how tags are written on the oldest image in scope that has each, by their keys."""
    query = (
        select(ImageTag.tag, func.min(ImageTag.image_id))
        .join(Image, Image.id == ImageTag.image_id)
        .where(in_scope(scope))
        .group_by(ImageTag.tag)
    )
    return names_on(session, dict(rows_in(session, query, ImageTag.tag, keys)))


def names_on(session: Session, images: Mapping[str, int]) -> dict[str, str]:
    """Return how each tag is written on the image that is given with its key."""
    query = select(ImageTag.tag, ImageTag.name, ImageTag.image_id)
    query = query.where(ImageTag.tag.in_(images))
    return {
        key: name
        for key, name, image_id in rows_in(session, query, ImageTag.image_id, images.values())
        if images[key] == image_id
    }


def _rows(image_id: int, tags: Sequence[str]) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "tag": tag_key(tag), "name": tag} for tag in tags]
