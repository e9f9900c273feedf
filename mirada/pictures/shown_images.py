"""Images as replies show them: the columns that a reply needs, in one statement, without mapped rows.

A mapped row costs ten times what its columns do, and a search shows ten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, bindparam, case, false, literal, null, select
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.filters import in_scope, kept_by_scope
from mirada.db.memory_models import Like
from mirada.db.models import Content, Image, User
from mirada.db.visibility import left_out_of
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.ids import in_range
from mirada.kernel.images import ImageStatus
from mirada.pictures import images


class ShownImage(NamedTuple):
    """An image as one viewer is shown it.

    Attributes:
        id: of the image.
        owner_id: of its owner.
        owner_name: the owner's user name.
        filename: None for anybody but the owner.
        asset_id: None for anybody but the owner.
        external_id: what the system calls it that it was imported from; None for what was not imported.
        external_source: the name of that import.
        external_name: the name of its file in that system's addresses; None where it had none.
        owner_external_id: of an imported image, what that system calls its owner; else None.
        prompt: the text it was made from; None without one.
        caption: what it shows in words; None without one.
        caption_source: "person" or "model"; None without a caption.
        caption_model: which model wrote the caption; None where none did.
        description: what a model wrote of it; None where none did.
        description_model: which model wrote that.
        generation: what a generator wrote into the file; None for anybody but the owner.
        is_public: whether everybody sees it.
        is_hidden: whether an administrator made it private.
        hidden_reason: why, in the administrator's words; None for anybody but the owner.
        status: an `ImageStatus`.
        failure: why it FAILED; None for anybody but the owner.
        like_count: everybody's likes.
        comment_count: everybody's comments.
        version: grows with each change.
        created_at: UTC.
        updated_at: UTC.
        format: of the file, such as "PNG".
        width: pixels, upright.
        height: pixels, upright.
        byte_size: of the file.
        is_animated: whether it moves.
        picture_token: in the addresses of its pictures; None where it has none yet.
        has_alpha: whether it is transparent somewhere; None until READY, as for the next three.
        placeholder: its ThumbHash, base64.
        colour: its commonest colour, "#rrggbb".
        lightness: mean lightness in [0, 1].
        tags: in the order that they were written; None without any.
        trashed_at: since when it is in its owner's trash; None where it is not.
        liked: whether the viewer likes it.
    """

    id: int
    owner_id: int
    owner_name: str
    filename: str | None
    asset_id: str | None
    external_id: str | None
    external_source: str | None
    external_name: str | None
    owner_external_id: str | None
    prompt: str | None
    caption: str | None
    caption_source: str | None
    caption_model: str | None
    description: str | None
    description_model: str | None
    generation: dict[str, Any] | None
    is_public: bool
    is_hidden: bool
    hidden_reason: str | None
    status: str
    failure: str | None
    like_count: int
    comment_count: int
    version: int
    created_at: datetime
    updated_at: datetime
    format: str
    width: int
    height: int
    byte_size: int
    is_animated: bool
    picture_token: str | None
    has_alpha: bool | None
    placeholder: str | None
    colour: str | None
    lightness: float | None
    tags: list[str] | None
    trashed_at: datetime | None
    liked: bool

    @classmethod
    def of(cls, image: Image, viewer_id: int | None, *, liked: bool) -> Self:
        """Return a mapped row, with its content and owner loaded, as a viewer is shown it."""
        is_owner = viewer_id is not None and image.owner_id == viewer_id
        content, is_seen = image.content, image.status == ImageStatus.READY
        return cls(
            *(image.id, image.owner_id, image.owner.username),
            *((image.filename, image.asset_id) if is_owner else (None, None)),
            *(image.external_id, image.external_source, image.external_name),
            owner_external_id=image.external_id and image.owner.external_id,
            prompt=image.prompt,
            caption=image.caption,
            caption_source=image.caption_source,
            caption_model=image.caption_model,
            description=image.description,
            description_model=image.description_model,
            generation=image.generation if is_owner else None,
            is_public=image.is_public,
            is_hidden=image.is_hidden,
            hidden_reason=image.hidden_reason if is_owner else None,
            status=image.status,
            failure=image.failure if is_owner else None,
            like_count=image.like_count,
            comment_count=image.comment_count,
            version=image.version,
            created_at=image.created_at,
            updated_at=image.updated_at,
            format=content.format,
            width=content.width,
            height=content.height,
            byte_size=content.byte_size,
            is_animated=content.is_animated,
            picture_token=image.picture_token,
            has_alpha=content.has_alpha if is_seen else None,
            placeholder=content.placeholder if is_seen else None,
            colour=content.colour if is_seen else None,
            lightness=content.lightness if is_seen else None,
            tags=image.tags,
            trashed_at=image.trashed_at,
            liked=liked,
        )


VIEWERS = 128
"""Viewers whose query is kept: making it takes longer than asking it."""
# Columns of tables: with attributes of mapped classes the statement would be made for mapped rows.
_IMAGES, _CONTENTS, _USERS, _LIKES = (entity.__table__.c for entity in (Image, Content, User, Like))
_IS_READY = _IMAGES.status == ImageStatus.READY
_OF_THE_OWNER = frozenset({"filename", "asset_id", "generation", "failure", "hidden_reason"})
# What is known of somebody else's upload of the same bytes is theirs: an image that is not READY tells no
# more of its look than one of new bytes.
_WHEN_READY = ("has_alpha", "placeholder", "colour", "lightness")
_ELSEWHERE = (
    {"owner_name": _USERS.username}
    # What a product calls its people is theirs, but for what its own clients have shown everybody.
    | {"owner_external_id": case((_IMAGES.external_id.is_not(None), _USERS.external_id))}
    | {name: _CONTENTS[name] for name in ("format", "width", "height", "byte_size", "is_animated")}
    | {name: case((_IS_READY, _CONTENTS[name]), else_=null()) for name in _WHEN_READY}
)


@lru_cache(VIEWERS)
def shown_to(viewer_id: int | None) -> Select[Any]:
    """Return the query for images as a viewer is shown them, its columns those of `ShownImage`.

    Which images, and that the viewer may see them, is the caller's to add.
    """
    columns: list[ColumnElement[Any]] = []
    for name in ShownImage._fields[:-1]:
        column: ColumnElement[Any] = _ELSEWHERE[name] if name in _ELSEWHERE else _IMAGES[name]
        if name in _OF_THE_OWNER:
            # What is not shown is not sent either.
            own = false() if viewer_id is None else _IMAGES.owner_id == viewer_id
            column = case((own, column), else_=null())
        columns.append(column.label(name))
    return (
        select(*columns, _liked_by(viewer_id).label("liked"))
        .select_from(Image.__table__)
        .join(Content.__table__, _CONTENTS.id == _IMAGES.content_id)
        .join(User.__table__, _USERS.id == _IMAGES.owner_id)
    )


def _liked_by(viewer_id: int | None) -> ColumnElement[bool]:
    if viewer_id is None:
        return false()
    given = select(literal(1)).where(_LIKES.image_id == _IMAGES.id, _LIKES.user_id == viewer_id)
    return given.select_from(Like.__table__).correlate(Image.__table__).exists()


def shown_images(session: Session, image_ids: Iterable[int], scope: Scope) -> dict[int, ShownImage]:
    """Return by id those of the images that are in scope now, as the viewer is shown them."""
    query, found = _some_shown(scope), {}
    left_out = left_out_of(scope.audience)
    for chunk in chunks(sorted(set(image_ids))):
        for row in session.execute(query, {"ids": list(chunk), **left_out}):
            found[row[0]] = ShownImage._make(row)
    return found


def shown_image(session: Session, image_id: int, audience: Audience) -> ShownImage:
    """Return an image as its viewer is shown it.

    Raises:
        NotFound: there is none, or the viewer may not see it.
    """
    found = shown_images(session, [in_range(image_id)], Scope(audience)).get(image_id)
    if found is None:
        raise images.absent(image_id)
    return found


@kept_by_scope
def _some_shown(scope: Scope) -> Select[Any]:
    """Return the query for those of some images (`ids`) that are in scope, as the viewer is shown them."""
    which = _IMAGES.id.in_(bindparam("ids", expanding=True))
    return shown_to(scope.audience.viewer_id).where(in_scope(scope), which)
