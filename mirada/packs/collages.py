"""The first pictures of packs, which show what is in each, as far as its viewer sees them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience, Scope
from mirada.packs.saved_queries import read_query
from mirada.packs.self_filled import images_of_pack
from mirada.packs.shown import ShownPack
from mirada.pictures.shown_images import ShownImage, shown_images
from mirada.runtime import Runtime


def collages(
    runtime: Runtime, packs: Sequence[ShownPack], audience: Audience, most: int = 4
) -> dict[int, list[ShownImage]]:
    """Return the pictures that show what is in each pack, by the packs' ids; its cover comes first.

    A pack that a search fills has its cover alone: a page of packs would wait for each search.

    Args:
        runtime: with the database.
        packs: as this viewer is shown them.
        audience: the viewer.
        most: pictures of one pack, >= 1.
    """
    with runtime.reading() as session:
        found = _first(session, [pack.id for pack in packs], audience, most)
        filtered = _filtered(session, [pack.id for pack in packs if pack.fills_itself])
    for pack_id in filtered:
        members = images_of_pack(runtime, pack_id, audience, limit=most)
        found[pack_id] = [member.image for member in members]
    for pack in packs:
        there, cover = found.get(pack.id, []), pack.cover
        if cover is not None:
            there = [cover, *(image for image in there if image.id != cover.id)]
        found[pack.id] = there[:most]
    return found


def _first(
    session: Session, pack_ids: Sequence[int], audience: Audience, most: int
) -> dict[int, list[ShownImage]]:
    place = func.row_number().over(partition_by=PackImage.pack_id, order_by=PackImage.position)
    seen = (
        select(PackImage.pack_id, PackImage.image_id, place.label("place"))
        .join(Image, Image.id == PackImage.image_id)
        .where(PackImage.pack_id.in_(pack_ids), may_see(audience.whole()))
        .subquery()
    )
    rows = session.execute(select(seen).where(seen.c.place <= most).order_by(seen.c.place)).all()
    images = shown_images(session, [row.image_id for row in rows], Scope(audience.whole()))
    found: dict[int, list[ShownImage]] = {}
    for row in rows:
        if row.image_id in images:
            found.setdefault(row.pack_id, []).append(images[row.image_id])
    return found


def _filtered(session: Session, pack_ids: Sequence[int]) -> list[int]:
    """Return those of these packs that a filter alone fills."""
    rows = session.execute(select(Pack.id, Pack.query).where(Pack.id.in_(pack_ids))).all()
    return [pack_id for pack_id, query in rows if query and not read_query(query).parts]
