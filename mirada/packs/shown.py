"""Packs as one viewer sees them: of the pictures in them, those that this viewer may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session, joinedload

from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.pages import newest_first
from mirada.db.visibility import may_see, may_see_pack
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import NotFound
from mirada.kernel.ids import in_range
from mirada.pictures.shown_images import ShownImage, shown_images


@dataclass(frozen=True, slots=True)
class ShownPack:
    """A pack as one viewer is shown it.

    Attributes:
        id: of the pack.
        owner_id: of its owner.
        owner_name: the owner's user name.
        title: what it is called.
        description: None without one.
        is_public: whether everybody sees it.
        fills_itself: whether a search fills it.
        image_count: pictures in it that the viewer sees; None where it fills itself.
        cover: the chosen cover, else the first picture; None where the viewer sees neither.
        has_chosen_cover: whether the cover was chosen.
        created_at: UTC.
        theme: what suggestions are judged for; None for anybody but the owner, as all that follows.
        query: what it is filled by.
        updated_at: UTC.
        version: grows with each change.
    """

    id: int
    owner_id: int
    owner_name: str
    title: str
    description: str | None
    is_public: bool
    fills_itself: bool
    image_count: int | None
    cover: ShownImage | None
    has_chosen_cover: bool
    created_at: datetime
    theme: str | None = None
    query: Mapping[str, Any] | None = None
    updated_at: datetime | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packs are listed; all conditions hold.

    Attributes:
        own_alone: the viewer's own; none for an anonymous one.
        is_public: public or private ones; None for both.
        title: a part of it, in capitals or not; "" for any.
        image_id: those that people put this image into, as far as the viewer sees it; None for any.
    """

    own_alone: bool = False
    is_public: bool | None = None
    title: str = ""
    image_id: int | None = None


ALL = Wanted()


def list_packs(
    session: Session,
    audience: Audience,
    wanted: Wanted = ALL,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> list[ShownPack]:
    """Return at most `limit` packs that the viewer may see, newest first.

    Args:
        session: for reading.
        audience: who asks.
        wanted: which of them.
        cursor: the id of the last pack of the page before; None for the first page.
        limit: >= 1.
    """
    query = _loaded().where(may_see_pack(audience))
    if wanted.own_alone:
        query = query.where(Pack.owner_id == (audience.viewer_id or 0))
    if wanted.is_public is not None:
        query = query.where(Pack.is_public == wanted.is_public)
    if wanted.title:
        query = query.where(Pack.title.icontains(wanted.title, autoescape=True))
    if wanted.image_id is not None:
        inside = PackImage.image_id == in_range(wanted.image_id)
        holding = select(PackImage.pack_id).join(Image, Image.id == PackImage.image_id)
        query = query.where(Pack.id.in_(holding.where(inside, may_see(audience.whole()))))
    packs = session.execute(newest_first(query, Pack.id, cursor, limit)).scalars().all()
    return shown_packs(session, packs, audience)


def shown_pack(session: Session, pack_id: int, audience: Audience) -> ShownPack:
    """Return a pack as its viewer is shown it.

    Raises:
        NotFound: there is none, or the viewer may not see it.
    """
    return shown_packs(session, [see_pack(session, pack_id, audience)], audience)[0]


def see_pack(session: Session, pack_id: int, audience: Audience) -> Pack:
    """Return the row of a pack, its owner loaded.

    Raises:
        NotFound: there is none, or the viewer may not see it.
    """
    query = _loaded().where(Pack.id == in_range(pack_id), may_see_pack(audience))
    pack = session.execute(query).scalar_one_or_none()
    if pack is None:
        raise no_such_pack(pack_id)
    return pack


def no_such_pack(pack_id: int) -> NotFound:
    """Return the error of a pack that is not there, or not the asker's."""
    return NotFound(f"There is no pack {pack_id}, or it is not yours.")


def shown_packs(session: Session, packs: Sequence[Pack], audience: Audience) -> list[ShownPack]:
    """Return packs that the viewer may see as they are shown them, in the same order."""
    whole = audience.whole()
    counts, covers = _insides(session, packs, whole)
    chosen = [pack.cover_image_id for pack in packs if pack.cover_image_id is not None]
    images = shown_images(session, [*chosen, *covers.values()], Scope(whole))
    return [
        _shown(
            pack,
            whole.viewer_id,
            None if pack.query is not None else counts.get(pack.id, 0),
            images.get(pack.cover_image_id or 0),
            images.get(covers.get(pack.id, 0)),
        )
        for pack in packs
    ]


def _insides(
    session: Session, packs: Sequence[Pack], audience: Audience
) -> tuple[dict[int, int], dict[int, int]]:
    """Return how many pictures the viewer sees in each pack, and the id of the first of them."""
    seen = (
        select(
            PackImage.pack_id,
            func.count().label("count"),
            func.min(PackImage.position).label("first"),
        )
        .join(Image, Image.id == PackImage.image_id)
        .where(PackImage.pack_id.in_([pack.id for pack in packs]), may_see(audience))
        .group_by(PackImage.pack_id)
        .subquery()
    )
    place = and_(PackImage.pack_id == seen.c.pack_id, PackImage.position == seen.c.first)
    query = select(seen.c.pack_id, seen.c.count, PackImage.image_id).join(PackImage, place)
    rows = session.execute(query).all()
    return (
        {pack_id: count for pack_id, count, _ in rows},
        {pack_id: image_id for pack_id, _, image_id in rows},
    )


def _shown(
    pack: Pack,
    viewer_id: int | None,
    image_count: int | None,
    chosen: ShownImage | None,
    first: ShownImage | None,
) -> ShownPack:
    is_owner = viewer_id is not None and pack.owner_id == viewer_id
    return ShownPack(
        id=pack.id,
        owner_id=pack.owner_id,
        owner_name=pack.owner.username,
        title=pack.title,
        description=pack.description,
        is_public=pack.is_public,
        fills_itself=pack.query is not None,
        image_count=image_count,
        cover=chosen or first,
        has_chosen_cover=chosen is not None,
        created_at=pack.created_at,
        # When it changed, and how often, would tell of pictures that others do not see.
        theme=pack.theme if is_owner else None,
        query=pack.query if is_owner else None,
        updated_at=pack.updated_at if is_owner else None,
        version=pack.version if is_owner else None,
    )


def titles_of(session: Session, pack_ids: Sequence[int], audience: Audience) -> dict[int, str]:
    """Return the titles of those of these packs that the viewer may see, by their ids."""
    query = select(Pack.id, Pack.title).where(may_see_pack(audience))
    return dict(rows_in(session, query, Pack.id, pack_ids))


def _loaded() -> Select[Pack]:
    return select(Pack).options(joinedload(Pack.owner))
