"""Packs as an export has them: order, emojis, cover, theme, and the search of one that fills itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from mirada.db.chunks import rows_in
from mirada.db.models import Image, User
from mirada.db.pack_models import Pack, PackImage
from mirada.transfer.described import person

PLAIN = ("id", "title", "description", "is_public", "theme", "query")


def packs_of(
    session: Session, exported: Select[Any], owner_id: int | None, *, is_whole: bool
) -> Iterator[dict[str, Any]]:
    """Yield packs by ascending ids, each with those of its pictures that are exported.

    Args:
        session: reads only.
        exported: the query for (id, external_source, external_id) of the images that are exported.
        owner_id: whose packs; None for everybody's.
        is_whole: all of the owner's images are exported. Else a pack comes along only where it has one
            that is, and none that fills itself does.
    """
    query = select(Pack).options(joinedload(Pack.owner)).order_by(Pack.id)
    if owner_id is not None:
        query = query.where(Pack.owner_id == owner_id)
    after = 0
    while pack := session.execute(query.where(Pack.id > after).limit(1)).scalar_one_or_none():
        after = pack.id
        told = _told(session, pack, exported)
        if is_whole or told["images"]:
            yield told


def _told(session: Session, pack: Pack, exported: Select[Any]) -> dict[str, Any]:
    members = session.execute(
        select(PackImage.image_id, PackImage.emojis)
        .where(PackImage.pack_id == pack.id)
        .order_by(PackImage.position)
    ).all()
    asked = (pack.query or {}).get("image_id")
    wanted = {row.image_id for row in members} | ({asked} if asked is not None else set())
    there = {row.id: _image(row) for row in rows_in(session, exported, Image.id, wanted)}
    owners = ((pack.query or {}).get("filter") or {}).get("owner") or []
    return {
        **{name: getattr(pack, name) for name in PLAIN},
        "owner": person(pack.owner.username, pack.owner.external_id),
        "created_at": pack.created_at.isoformat(),
        "cover_id": pack.cover_image_id if pack.cover_image_id in there else None,
        "images": [
            {**there[row.image_id], "emojis": row.emojis}
            for row in members
            if row.image_id in there
        ],
        "query_image": there.get(asked),
        "query_owners": _people(session, owners),
    }


def _image(row: Any) -> dict[str, Any]:
    """Return what an import finds an image by."""
    return {"id": row.id, "external_source": row.external_source, "external_id": row.external_id}


def _people(session: Session, ids: list[int]) -> Mapping[str, Any]:
    query = select(User.id, User.username, User.external_id)
    rows = rows_in(session, query, User.id, set(ids))
    return {str(row.id): person(row.username, row.external_id) for row in rows}
