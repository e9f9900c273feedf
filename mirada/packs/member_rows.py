"""The pictures in a pack, read: in its order, as a viewer sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.db.pack_models import Pack, PackImage
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import Conflict, InvalidInput, NotFound, SearchExpired
from mirada.kernel.ids import in_range
from mirada.kernel.keywords import is_emoji
from mirada.packs.limits import MOST_EMOJIS
from mirada.packs.shown import see_pack
from mirada.pictures.shown_images import ShownImage, shown_images

Emojis = Mapping[int, Sequence[str]]
"""By image id."""
LEFT_THE_PACK = (
    "The picture at which the page before ended is not in the pack any more. Begin again without a "
    "cursor."
)


@dataclass(frozen=True, slots=True)
class Member:
    """A picture in a pack, and the emojis that it stands for there."""

    image: ShownImage
    emojis: Sequence[str] = ()

    @property
    def id(self) -> int:
        """The image's id."""
        return self.image.id


def list_members(
    session: Session,
    pack: Pack,
    audience: Audience,
    *,
    cursor: int | None = None,
    limit: int = 50,
) -> list[Member]:
    """Return at most `limit` pictures of a pack that is filled by hand, in its order.

    Args:
        session: for reading.
        pack: one that the viewer may see.
        audience: who asks.
        cursor: the id of the last picture of the page before; None for the first page.
        limit: >= 1.

    Raises:
        SearchExpired: that picture left the pack, or the viewer may not see it any more.
    """
    query = seen_rows(pack.id, audience)
    if cursor is not None:
        place = seen_rows(pack.id, audience).where(PackImage.image_id == in_range(cursor))
        found = session.execute(place).one_or_none()
        if found is None:
            raise SearchExpired(LEFT_THE_PACK)
        query = query.where(PackImage.position > found.position)
    rows = session.execute(query.limit(limit)).all()
    return with_images(session, {row.image_id: row.emojis for row in rows}, audience)


def with_images(session: Session, emojis: Emojis, audience: Audience) -> list[Member]:
    """Return those of these pictures that the viewer may see, in the same order."""
    images = shown_images(session, emojis, Scope(audience.whole()))
    return [Member(images[each], said) for each, said in emojis.items() if each in images]


def emojis_of(session: Session, pack_id: int, image_ids: Collection[int]) -> dict[int, list[str]]:
    """Return the emojis of these pictures in a pack."""
    query = select(PackImage.image_id, PackImage.emojis).where(PackImage.pack_id == pack_id)
    return dict(rows_in(session, query, PackImage.image_id, image_ids))


def checked_emojis(emojis: Emojis, image_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return emojis by image id, each once.

    Raises:
        InvalidInput: one is no emoji, a picture has too many, or is not among these.
    """
    named = set(image_ids)
    for image_id, said in emojis.items():
        wrong = next((each for each in said if not is_emoji(each)), None)
        if image_id not in named:
            reason = f"There are emojis for image {image_id}, which is not in image_ids."
        elif wrong is not None:
            reason = f"{wrong[:20]!r} is not one emoji."
        elif len(set(said)) > MOST_EMOJIS:
            reason = (
                f"A picture has {MOST_EMOJIS} emojis at most; image {image_id} has {len(said)}."
            )
        else:
            continue
        raise InvalidInput(reason, fields={"emojis": [reason]})
    return {image_id: list(dict.fromkeys(said)) for image_id, said in emojis.items()}


def require_by_hand(session: Session, pack_id: int, audience: Audience) -> Pack:
    """Return a pack of one's own that is filled by hand. Raises NotFound or Conflict."""
    pack = see_pack(session, pack_id, audience)
    if pack.owner_id != audience.viewer_id:
        raise NotFound(f"There is no pack {pack_id}, or it is not yours.")
    if pack.query is not None:
        raise Conflict(f"Pack {pack_id} fills itself, so that nothing is suggested for it.")
    return pack


def ids_seen(session: Session, image_ids: Sequence[int], audience: Audience) -> set[int]:
    """Return those of these ids that are of images which the viewer may see."""
    query = select(Image.id).where(may_see(audience))
    asked = [each for each in image_ids if in_range(each)]
    return {row.id for row in rows_in(session, query, Image.id, asked)}


def seen_rows(pack_id: int, audience: Audience) -> Any:
    """Return the query for (image_id, position, emojis) of a pack's pictures that the viewer sees."""
    return (
        select(PackImage.image_id, PackImage.position, PackImage.emojis)
        .join(Image, Image.id == PackImage.image_id)
        .where(PackImage.pack_id == pack_id, may_see(audience.whole()))
        .order_by(PackImage.position)
    )


def whole_order(session: Session, pack_id: int) -> list[int]:
    """Return the ids of all pictures of a pack in its order, whoever sees them."""
    query = select(PackImage.image_id).where(PackImage.pack_id == pack_id)
    return list(session.execute(query.order_by(PackImage.position)).scalars())
