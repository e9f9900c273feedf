"""Merging duplicates: what of a group goes into which image; one group, or all of a tier at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.batches import batches
from mirada.batches.batches import Outcome
from mirada.batches.doing import Asker, Name
from mirada.batches.merging import INTO
from mirada.batches.wanted import Wanted
from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image
from mirada.duplicates.best import best_of, measured
from mirada.duplicates.seen import Group, get_group, groups_of
from mirada.kernel.duplicates import Tier
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.runtime import Runtime

MOST_MERGED = 100_000
"""Images of one request; what is left is merged by the next one."""
WITHOUT_A_LOOK = (Tier.SAME_FILE, Tier.NEAR)
"""The tiers whose groups are merged all at once: pictures of one subject are different pictures."""


def merge_group(
    runtime: Runtime,
    tier: Tier,
    asker: Asker,
    image_id: int,
    *,
    keep: int | None = None,
    others: Collection[int] | None = None,
    request_id: str | None = None,
) -> Outcome:
    """Merge one's own images of a group into one of them.

    Args:
        runtime: where the work is done.
        tier: whose group.
        asker: who asks; images of others in the group stay as they are.
        image_id: any image of the group.
        keep: the one that is kept; None for the best.
        others: which go into it; None for all others of theirs.
        request_id: follows the work into the log.

    Raises:
        NotFound: there is no such group for them.
        InvalidInput: an image is none of theirs in the group, or is to be kept and to go.
        Conflict: only one image of the group is theirs, or there is no trash here.
    """
    with runtime.reading() as session:
        own = _own(get_group(session, tier, asker.user_id, image_id))
        if len(own) < 2:
            raise Conflict("Only one image of this group is yours, so there is nothing to merge.")
        _require_own(own, "keep", [] if keep is None else [keep])
        _require_own(own, "ids", others or ())
        kept = best_of(measured(session, own)).image_id if keep is None else keep
    if others is not None and kept in others:
        reason = f"Image {kept} is the one that is kept; name another one in `keep`."
        raise InvalidInput(reason, fields={"ids": [reason]})
    into = {each: kept for each in own if each != kept and (others is None or each in others)}
    return _merge(runtime, into, asker, request_id)


def merge_all(runtime: Runtime, tier: Tier, asker: Asker, request_id: str | None = None) -> Outcome:
    """Merge one's own images of each group of a tier into the best one; of many by a job.

    Raises:
        InvalidInput: groups of this tier are merged one by one.
        Conflict: there is no trash here.
    """
    if tier not in WITHOUT_A_LOOK:
        reason = "Pictures of one subject are different pictures: merge such groups one by one."
        raise InvalidInput(reason, fields={"tier": [reason]})
    with runtime.reading() as session:
        groups = merged_at_once(session, tier, asker.user_id)
        known = {each.id: each for each in measured(session, [i for own in groups for i in own])}
    into: dict[int, int] = {}
    for own in groups:
        there = [known[each] for each in own if each in known]
        if len(there) > 1 and len(into) + len(there) <= MOST_MERGED:
            best = best_of(there).image_id
            into |= {each.id: best for each in there if each.id != best}
    return _merge(runtime, into, asker, request_id)


def merged_at_once(session: Session, tier: Tier, owner_id: int) -> list[list[int]]:
    """Return the images of somebody's own that are merged all at once, by group, two of each at least.

    Of the same picture, animations are left out: they are told by their first frame alone, and may go on
    in different ways.
    """
    groups = [_own(group) for group in groups_of(session, tier, owner_id)]
    if tier is Tier.NEAR:
        query = select(Image.id).join(Content, Content.id == Image.content_id)
        moving = query.where(Content.is_animated.is_(True))
        ids = [each for own in groups for each in own]
        left_out = {row.id for row in rows_in(session, moving, Image.id, ids)}
        groups = [[each for each in own if each not in left_out] for own in groups]
    return [own for own in groups if len(own) > 1]


def _merge(runtime: Runtime, into: dict[int, int], asker: Asker, request_id: str | None) -> Outcome:
    value = {INTO: {str(each): kept for each, kept in into.items()}}
    wanted = Wanted(Name.MERGE, value, tuple(sorted(into)))
    return batches.change_many(runtime, wanted, asker, request_id)


def _own(group: Group) -> list[int]:
    return [member.image_id for member in group.members if member.is_own]


def _require_own(own: Sequence[int], field: str, ids: Collection[int]) -> None:
    for each in ids:
        if each not in own:
            reason = f"Image {each} is none of yours in this group."
            raise InvalidInput(reason, fields={field: [reason]})
