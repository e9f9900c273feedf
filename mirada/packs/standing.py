"""How pictures stand in a pack, kept and set back: for changes of many that may be undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.db import word_index
from mirada.db.chunks import rows_in
from mirada.db.pack_models import Pack, PackImage
from mirada.packs.members import remove_all
from mirada.packs.packs import bump


class Standing(NamedTuple):
    """How a picture stands in a pack.

    Attributes:
        position: its place among the pack's, as `PackImage` has it; None for the end.
        emojis: what it stands for there.
        is_cover: whether it is the pack's cover.
    """

    position: int | None = None
    emojis: Sequence[str] = ()
    is_cover: bool = False


def standing_of(session: Session, pack: Pack, image_ids: Iterable[int]) -> dict[int, Standing]:
    """Return how those of these pictures stand that are in the pack."""
    query = select(PackImage.image_id, PackImage.position, PackImage.emojis)
    query = query.where(PackImage.pack_id == pack.id)
    return {
        row.image_id: Standing(row.position, row.emojis, row.image_id == pack.cover_image_id)
        for row in rows_in(session, query, PackImage.image_id, image_ids)
    }


def stand(session: Session, pack: Pack, put: Mapping[int, Standing], out: Collection[int]) -> None:
    """Put pictures into a locked pack, and take others out.

    A place that another picture has by now is before that one.

    Args:
        session: the transaction; the images' rows are locked.
        pack: filled by hand.
        put: pictures that are not in it; those without a place come last, in this order.
        out: pictures that leave it.
    """
    remove_all(session, pack, sorted(out))
    if put:
        _put_in(session, pack, put)
        covers = [image_id for image_id, each in put.items() if each.is_cover]
        if covers and pack.cover_image_id is None:
            pack.cover_image_id = covers[0]
        word_index.rewrite(session, [image_id for image_id, each in put.items() if each.emojis])
    bump(session, pack)


def _put_in(session: Session, pack: Pack, put: Mapping[int, Standing]) -> None:
    query = select(PackImage.position, PackImage.image_id).where(PackImage.pack_id == pack.id)
    there = {row.image_id: row.position for row in session.execute(query)}
    placed = {
        image_id: each.position for image_id, each in put.items() if each.position is not None
    }
    # A place that both have: what comes back goes first.
    at = sorted(
        [(place, 1, image_id) for image_id, place in there.items()]
        + [(place, 0, image_id) for image_id, place in placed.items()]
    )
    places = {image_id: place for place, _, image_id in at}
    if len(set(places.values())) < len(places):
        places = {image_id: number for number, (*_, image_id) in enumerate(at)}
        moved = [
            {"pack_id": pack.id, "image_id": image_id, "position": places[image_id]}
            for image_id in there
        ]
        if moved:
            session.execute(update(PackImage), moved)
    end = max(places.values(), default=-1)
    last = (image_id for image_id in put if image_id not in placed)
    places |= {image_id: end + number for number, image_id in enumerate(last, 1)}
    session.add_all(
        PackImage(
            pack_id=pack.id,
            image_id=image_id,
            position=places[image_id],
            emojis=list(each.emojis),
        )
        for image_id, each in put.items()
    )
    session.flush()
