"""Packs made, changed and deleted, by their owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select, true
from sqlalchemy.orm import Session

from mirada.db import audit, changes, word_index
from mirada.db.deadlocks import retried
from mirada.db.idempotency import Once, once
from mirada.db.models import Image, User, utc_now
from mirada.db.pack_models import Pack, PackImage
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from mirada.kernel.ids import in_range
from mirada.kernel.labels import normalised_line
from mirada.kernel.themes import theme_key
from mirada.kernel.user_text import UNSTORABLE
from mirada.packs.limits import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS, MOST_PACKS
from mirada.packs.saved_queries import checked_query
from mirada.packs.shown import ShownPack, no_such_pack, see_pack, shown_pack

CHANGEABLE = ("title", "description", "is_public", "theme", "cover_image_id", "query")


@dataclass(frozen=True, slots=True)
class MadePack:
    """A new pack; `was_replayed`: an earlier request with the same Idempotency-Key made it."""

    pack: ShownPack
    was_replayed: bool = False


def _make(
    session: Session, owner_id: int, fields: Mapping[str, Any], *, key: str | None = None
) -> MadePack:
    given = checked_fields(session, owner_id, fields)
    request = once(owner_id, key, "pack", given)
    # One owner's requests come one after the other, so that none gets past the bound.
    session.get(User, owner_id, with_for_update=True)
    earlier = earlier_pack(session, request)
    if earlier is not None:
        return MadePack(earlier, was_replayed=True)
    require_room(session, owner_id)
    pack = Pack(owner_id=owner_id, **given)
    session.add(pack)
    session.flush()
    if pack.cover_image_id is not None:
        _require_cover(session, pack)
    request.keep(session, pack.id)
    return MadePack(shown_pack(session, pack.id, Audience(owner_id)))


make_pack = retried(_make)
"""Make an empty pack, or one that a search fills, of `fields` by the names in CHANGEABLE.

Raises:
    InvalidInput: a field cannot be stored, or the Idempotency-Key (`key`) is another request's.
    NotFound: the cover is no image that the owner may see.
    Conflict: they have as many packs as one person may, or the key's pack is gone since.
"""


def earlier_pack(session: Session, request: Once) -> ShownPack | None:
    """Return the pack that the first request with the same Idempotency-Key made; None for none.

    Raises:
        Conflict: it was deleted since.
        InvalidInput: the key is another request's.
    """
    earlier = request.earlier(session)
    if earlier is None:
        return None
    try:
        return shown_pack(session, earlier, Audience(request.owner_id))
    except NotFound as error:
        raise Conflict(
            "The pack of this Idempotency-Key was deleted since. Send a new key to make it again."
        ) from error


def require_room(session: Session, owner_id: int) -> None:
    """Raise Conflict where somebody has as many packs as one person may."""
    owned = select(func.count()).select_from(Pack).where(Pack.owner_id == owner_id)
    if session.execute(owned).scalar_one() >= MOST_PACKS:
        raise Conflict(
            f"You have {MOST_PACKS:,} packs, as many as one person may. Delete one first."
        )


def _change(
    session: Session,
    pack_id: int,
    owner_id: int,
    changed: Mapping[str, Any],
    *,
    expected_version: int | None = None,
) -> ShownPack:
    pack = lock_pack(session, pack_id, owner_id, expected_version)
    given = checked_fields(session, owner_id, changed)
    if "query" in given and (pack.query is None or given["query"] is None):
        raise Conflict(
            "Whether a pack is filled by a search or by hand stays as it was made: make another pack."
        )
    before = pack.is_public
    differing = {name: value for name, value in given.items() if getattr(pack, name) != value}
    for name, value in differing.items():
        setattr(pack, name, value)
    if differing.get("cover_image_id") is not None:
        _require_cover(session, pack)
    if differing:
        bump(session, pack)
    if pack.is_public != before:
        rewrite_words(session, pack)
    return shown_pack(session, pack_id, Audience(owner_id))


change_pack = retried(_change)
"""Return a pack of one's own after the changes, of fields by the names in CHANGEABLE.

Raises:
    NotFound: there is none of theirs; or the cover is no image that they may see.
    PreconditionFailed: it is another version by now than `expected_version`.
    InvalidInput: a value cannot be stored, or the cover is not in the pack.
    Conflict: a pack that is filled by hand would fill itself, or the other way round.
"""


def _delete(
    session: Session,
    pack_id: int,
    user_id: int,
    *,
    expected_version: int | None = None,
    is_administrator: bool = False,
) -> None:
    pack = lock_pack(session, pack_id, user_id, expected_version, is_administrator=is_administrator)
    found = select(PackImage.image_id).where(PackImage.pack_id == pack.id)
    image_ids = list(session.execute(found).scalars())
    audit.record_of_others(session, Action.PACK_DELETE, pack.id, pack.owner_id, user_id)
    session.delete(pack)
    session.flush()
    word_index.rewrite(session, lock_images(session, image_ids))
    changes.note(session)


delete_pack = retried(_delete)
"""Delete a pack; its pictures stay. Its owner may, and an administrator where it is public.

Raises:
    NotFound: there is none that they may delete.
    PreconditionFailed: it is another version by now than `expected_version`.
"""


def forget_pack(session: Session, pack_id: int) -> None:
    """Delete a pack, whoever's it is: its owner has ended."""
    pack = session.get(Pack, pack_id)
    if pack is not None:
        _delete(session, pack_id, pack.owner_id)


def lock_pack(
    session: Session,
    pack_id: int,
    owner_id: int,
    expected_version: int | None = None,
    *,
    is_administrator: bool = False,
) -> Pack:
    """Return a pack of somebody's own, locked before any picture is.

    Args:
        session: a transaction.
        pack_id: which pack.
        owner_id: who asks.
        expected_version: what If-Match named; None takes any version.
        is_administrator: takes also public ones of others.

    Raises:
        NotFound: there is none of theirs.
        PreconditionFailed: it is another version by now.
    """
    own = Pack.owner_id == owner_id
    whose = or_(own, Pack.is_public == true()) if is_administrator else own
    query = select(Pack).where(Pack.id == in_range(pack_id), whose).with_for_update()
    pack = session.execute(query.execution_options(populate_existing=True)).scalar_one_or_none()
    if pack is None:
        raise no_such_pack(pack_id)
    if expected_version is not None and pack.version != expected_version:
        raise PreconditionFailed(
            f"Pack {pack_id} is at version {pack.version} by now, not {expected_version}: it was "
            "changed elsewhere. Read it again and repeat the change if it still applies."
        )
    return pack


def bump(session: Session, pack: Pack) -> None:
    """Count one more version of a locked pack, and note that filters by packs find something else."""
    pack.version += 1
    pack.updated_at = utc_now()
    session.flush()
    changes.note(session)


def rewrite_words(session: Session, pack: Pack) -> None:
    """Write the words of its pictures with emojis anew: who may find them by these is others now."""
    found = select(PackImage.image_id, PackImage.emojis).where(PackImage.pack_id == pack.id)
    marked = [image_id for image_id, emojis in session.execute(found) if emojis]
    word_index.rewrite(session, lock_images(session, marked))


def lock_images(session: Session, image_ids: list[int]) -> list[int]:
    """Return those of these images that are there, locked, in the order of their ids."""
    query = select(Image.id).where(Image.id.in_(image_ids)).order_by(Image.id).with_for_update()
    return list(session.execute(query).scalars()) if image_ids else []


def current_version(session: Session, pack_id: int, owner_id: int) -> int:
    """Return the version of a pack of one's own. Raises NotFound: there is none of theirs."""
    pack = see_pack(session, pack_id, Audience(owner_id))
    if pack.owner_id != owner_id:
        raise no_such_pack(pack_id)
    return pack.version


def _require_cover(session: Session, pack: Pack) -> None:
    """Raise NotFound for a cover that the owner may not see, InvalidInput for one outside the pack."""
    seen = select(Image.id).where(
        Image.id == in_range(pack.cover_image_id or 0), may_see(Audience(pack.owner_id))
    )
    if session.execute(seen).first() is None:
        raise NotFound(f"There is no image {pack.cover_image_id}, or it is not yours to see.")
    inside = select(PackImage.image_id).where(
        PackImage.pack_id == pack.id, PackImage.image_id == pack.cover_image_id
    )
    if pack.query is None and session.execute(inside).first() is None:
        reason = "The cover is one of the pack's pictures: add it first."
        raise InvalidInput(reason, fields={"cover_image_id": [reason]})


def checked_fields(session: Session, owner_id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of CHANGEABLE as they are kept. Raises InvalidInput: one cannot be stored."""
    given = {name: fields[name] for name in CHANGEABLE if name in fields}
    if "title" in given:
        given["title"] = _title(given["title"])
    if given.get("description") is not None:
        given["description"] = _description(given["description"])
    if given.get("theme") is not None:
        given["theme"] = theme_key(given["theme"])
    if given.get("query") is not None:
        given["query"] = checked_query(session, given["query"], Audience(owner_id))
    return given


def _title(text: str) -> str:
    """Return a title: one line, with something to see in it, and nothing that turns its direction."""
    try:
        return normalised_line(" ".join(text.split()), "A title", MAX_TITLE_CHARACTERS)
    except InvalidInput as error:
        raise InvalidInput(error.detail, fields={"title": [error.detail]}) from error


def _description(text: str) -> str | None:
    plain = text.strip()
    if len(plain) > MAX_DESCRIPTION_CHARACTERS or UNSTORABLE.search(plain):
        reason = (
            f"A description has {MAX_DESCRIPTION_CHARACTERS:,} characters at most, and no NUL or half a "
            f"surrogate pair; this has {len(plain):,} characters."
        )
        raise InvalidInput(reason, fields={"description": [reason]})
    return plain or None
