"""The pictures in a pack: added, ordered, removed and marked with emojis by its owner.

A picture that its owner does not see any more keeps its place: it was put into the trash, or its own owner
made it private. It comes back there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from mirada.db import word_index
from mirada.db.deadlocks import retried
from mirada.db.pack_models import Pack, PackImage
from mirada.db.session import count_changed
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.packs.limits import MOST_IMAGES
from mirada.packs.member_rows import (
    Emojis,
    Member,
    checked_emojis,
    emojis_of,
    ids_seen,
    seen_rows,
    whole_order,
    with_images,
)
from mirada.packs.packs import bump, lock_images, lock_pack
from mirada.packs.shown import ShownPack, shown_pack


def _add(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_ids: Sequence[int],
    *,
    at: int | None = None,
    emojis: Emojis | None = None,
    expected_version: int | None = None,
) -> ShownPack:
    pack = lock_by_hand(session, pack_id, owner_id, expected_version)
    add_to(session, pack, image_ids, at=at, emojis=emojis)
    return shown_pack(session, pack_id, Audience(owner_id))


add_images = retried(_add)
"""Put pictures into a pack of one's own: at the end, or before the picture that its owner sees at `at`.

Those that are in it stay where they are. `emojis` are given to any of them.

Raises:
    NotFound: there is no such pack of theirs, or an image that they may not see. Nothing is added then.
    PreconditionFailed: it is another version by now than `expected_version`.
    Conflict: it fills itself, or would have more pictures than a pack may have.
    InvalidInput: an emoji is none, or there are too many for one picture.
"""


def add_to(
    session: Session,
    pack: Pack,
    image_ids: Sequence[int],
    *,
    at: int | None = None,
    emojis: Emojis | None = None,
) -> None:
    """Put pictures into a locked pack, as `add_images` does."""
    marks = checked_emojis(emojis or {}, image_ids)
    audience, added = Audience(pack.owner_id), list(dict.fromkeys(image_ids))
    _require_seen(session, added, audience)
    there = whole_order(session, pack.id)
    new = [each for each in added if each not in set(there)]
    seen = ids_seen(session, there, audience)
    if len(seen) + len(new) > MOST_IMAGES:
        raise Conflict(
            f"A pack has {MOST_IMAGES:,} pictures at most; this one would have {len(seen) + len(new):,}. "
            "Begin another one."
        )
    shown = [each for each in there if each in seen]
    place = len(there) if at is None or at >= len(shown) else there.index(shown[at])
    _write_order(session, pack.id, there, [*there[:place], *new, *there[place:]])
    _mark(session, pack, marks)
    if new or marks:
        bump(session, pack)


def _order(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_ids: Sequence[int],
    *,
    emojis: Emojis | None = None,
    expected_version: int | None = None,
) -> ShownPack:
    pack = lock_by_hand(session, pack_id, owner_id, expected_version)
    marks = checked_emojis(emojis or {}, image_ids)
    audience = Audience(owner_id)
    wanted = list(dict.fromkeys(image_ids))
    if len(wanted) != len(image_ids):
        reason = "A picture is in a pack once; send each id once."
        raise InvalidInput(reason, fields={"image_ids": [reason]})
    _require_seen(session, wanted, audience)
    there = whole_order(session, pack.id)
    order = merged(there, ids_seen(session, there, audience), wanted)
    gone = sorted(set(there) - set(order))
    remove_all(session, pack, gone)
    _write_order(session, pack.id, [each for each in there if each in set(order)], order)
    _mark(session, pack, marks)
    if order != there or marks:
        bump(session, pack)
    return shown_pack(session, pack_id, audience)


order_images = retried(_order)
"""Make these pictures, in this order, the pack's: those that are left out leave it, new ones come in.

Raises as `add_images` does; InvalidInput also where an id comes twice.
"""


def merged(there: Sequence[int], seen: Collection[int], wanted: Sequence[int]) -> list[int]:
    """Return the order of a pack: the wanted pictures, and those that the owner does not see.

    Each of these stays behind the one that it followed.

    >>> merged([1, 2, 3, 4], {1, 3, 4}, [4, 1])
    [4, 1, 2]
    """
    followers: dict[int, list[int]] = {}
    kept, before = set(wanted), 0
    for each in there:
        if each in seen:
            before = each if each in kept else before
        elif each not in kept:
            followers.setdefault(before, []).append(each)
    order = list(followers.get(0, ()))
    for each in wanted:
        order += [each, *followers.get(each, ())]
    return order


def _change_member(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_id: int,
    *,
    emojis: Sequence[str] | None = None,
    at: int | None = None,
    expected_version: int | None = None,
) -> Member:
    pack = lock_by_hand(session, pack_id, owner_id, expected_version)
    marks = {} if emojis is None else checked_emojis({image_id: emojis}, [image_id])
    _require_member(session, pack, image_id)
    is_moved = at is not None and _move(session, pack, image_id, at)
    if _mark(session, pack, marks) or is_moved:
        bump(session, pack)
    said = emojis_of(session, pack.id, [image_id])
    return with_images(session, said, Audience(owner_id))[0]


change_member = retried(_change_member)
"""Give a picture of a pack of one's own other emojis, or another place: `at`, from 0, as its owner counts.

Raises as `add_images` does.
"""


def _move(session: Session, pack: Pack, image_id: int, at: int) -> bool:
    """Bring a picture of a locked pack to a place among those that its owner sees; True if it moved."""
    there = whole_order(session, pack.id)
    rest = [each for each in there if each != image_id]
    seen = ids_seen(session, rest, Audience(pack.owner_id))
    shown = [each for each in rest if each in seen]
    place = len(rest) if at >= len(shown) else rest.index(shown[at])
    order = [*rest[:place], image_id, *rest[place:]]
    _write_order(session, pack.id, there, order)
    return order != there


def _remove(
    session: Session,
    pack_id: int,
    owner_id: int,
    image_id: int,
    *,
    expected_version: int | None = None,
) -> ShownPack:
    pack = lock_by_hand(session, pack_id, owner_id, expected_version)
    _require_member(session, pack, image_id)
    remove_from(session, pack, image_id)
    return shown_pack(session, pack_id, Audience(owner_id))


remove_image = retried(_remove)
"""Take a picture out of a pack of one's own; the picture stays. Raises as `add_images` does."""


def remove_from(session: Session, pack: Pack, image_id: int) -> None:
    """Take a picture out of a locked pack; nothing where it is not in it."""
    if remove_all(session, pack, [image_id]):
        bump(session, pack)


def lock_by_hand(
    session: Session, pack_id: int, owner_id: int, expected_version: int | None = None
) -> Pack:
    """Return a locked pack of somebody's own. Raises as `lock_pack` does; Conflict: it fills itself."""
    pack = lock_pack(session, pack_id, owner_id, expected_version)
    if pack.query is not None:
        raise Conflict(
            f"Pack {pack_id} fills itself: change its query, or make a pack that is filled by hand."
        )
    return pack


def _require_member(session: Session, pack: Pack, image_id: int) -> None:
    """Raise NotFound for a picture that is not in the pack, or that its owner may not see."""
    query = seen_rows(pack.id, Audience(pack.owner_id)).where(
        PackImage.image_id == in_range(image_id)
    )
    if session.execute(query).one_or_none() is None:
        raise NotFound(f"There is no image {image_id} in pack {pack.id}.")


def _require_seen(session: Session, image_ids: Sequence[int], audience: Audience) -> None:
    seen = ids_seen(session, image_ids, audience)
    absent = next((each for each in image_ids if each not in seen), None)
    if absent is not None:
        raise NotFound(
            f"There is no image {absent}, or it is not yours to see. Nothing was changed."
        )


def _write_order(
    session: Session, pack_id: int, there: Sequence[int], order: Sequence[int]
) -> None:
    """Bring a pack into an order; pictures that are not `there` yet are put in."""
    if list(there) == list(order):
        return
    known = set(there)
    last = select(func.max(PackImage.position)).where(PackImage.pack_id == pack_id)
    if list(order[: len(there)]) == list(there):
        # At the end nothing else moves.
        begin = (session.execute(last).scalar_one() or 0) + 1 - len(there)
    else:
        begin = 0
        places = [
            {"pack_id": pack_id, "image_id": each, "position": place}
            for place, each in enumerate(order)
            if each in known
        ]
        session.execute(update(PackImage), places)
    session.add_all(
        PackImage(pack_id=pack_id, image_id=each, position=begin + place, emojis=[])
        for place, each in enumerate(order)
        if each not in known
    )
    session.flush()


def remove_all(session: Session, pack: Pack, image_ids: Sequence[int]) -> int:
    """Take pictures out of a locked pack, and return how many there were."""
    inside = (PackImage.pack_id == pack.id, PackImage.image_id.in_(image_ids))
    marked = [
        image_id
        for image_id, emojis in session.execute(
            select(PackImage.image_id, PackImage.emojis).where(*inside)
        )
        if emojis
    ]
    removed = count_changed(session, delete(PackImage).where(*inside)) if image_ids else 0
    if pack.cover_image_id in set(image_ids):
        pack.cover_image_id = None
    word_index.rewrite(session, lock_images(session, marked))
    return removed


def _mark(session: Session, pack: Pack, marks: Emojis) -> bool:
    """Give pictures of a locked pack their emojis, and return whether any differs."""
    known = emojis_of(session, pack.id, marks.keys())
    differing = {each: list(said) for each, said in marks.items() if known.get(each) != list(said)}
    for image_id, said in differing.items():
        this = (PackImage.pack_id == pack.id, PackImage.image_id == image_id)
        session.execute(update(PackImage).where(*this).values(emojis=said))
    word_index.rewrite(session, lock_images(session, list(differing)))
    return bool(differing)
