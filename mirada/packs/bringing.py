"""Packs brought from another Mirada: as they were there, each once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import changes, word_index
from mirada.db.chunks import rows_in
from mirada.db.models import User
from mirada.db.pack_models import Pack, PackImage
from mirada.packs.member_rows import checked_emojis
from mirada.packs.packs import checked_fields, lock_images, require_room


@dataclass(frozen=True, slots=True)
class BroughtPack:
    """A pack of another Mirada, in our ids.

    Attributes:
        source, external_id: where it came from, and its id there.
        fields: title, description, is_public, theme and query, as `make_pack` takes them.
        members: image ids with their emojis, in the pack's order.
        cover_image_id: None for the first picture.
        created_at: UTC.
    """

    source: str
    external_id: str
    fields: Mapping[str, Any]
    members: Sequence[tuple[int, Sequence[str]]]
    cover_image_id: int | None
    created_at: datetime


def known_packs(session: Session, source: str, ids: Collection[str]) -> dict[str, int]:
    """Return our ids of the packs that a source has brought, by theirs."""
    query = select(Pack.external_id, Pack.id).where(Pack.external_source == source)
    return {row.external_id: row.id for row in rows_in(session, query, Pack.external_id, ids)}


def bring_pack(session: Session, owner_id: int, brought: BroughtPack) -> int:
    """Insert a pack with its pictures and return its id.

    Pictures that its owner may not see stay in it, as they were there: everybody is shown what they see.

    Args:
        session: a transaction; the source has not brought this pack.
        owner_id: whose it becomes.
        brought: the pack; its images are there.

    Raises:
        InvalidInput: a field or an emoji cannot be stored.
        NotFound: its search names an image or a pack that its owner may not see.
        Conflict: they have as many packs as one person may.
    """
    given = checked_fields(session, owner_id, brought.fields)
    session.get(User, owner_id, with_for_update=True)
    require_room(session, owner_id)
    marks = checked_emojis(dict(brought.members), [image_id for image_id, _ in brought.members])
    pack = Pack(
        **given,
        owner_id=owner_id,
        cover_image_id=brought.cover_image_id,
        created_at=brought.created_at,
        external_source=brought.source,
        external_id=brought.external_id,
    )
    session.add(pack)
    session.flush()
    session.add_all(
        PackImage(pack_id=pack.id, image_id=image_id, position=place, emojis=marks[image_id])
        for place, (image_id, _) in enumerate(brought.members, 1)
    )
    session.flush()
    marked = [image_id for image_id, emojis in marks.items() if emojis]
    word_index.rewrite(session, lock_images(session, marked))
    changes.note(session)
    return pack.id
