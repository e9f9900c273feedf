"""Duplicates side by side: which one to keep, that they are none, or the best of all. Everybody's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask_babel import format_date, gettext, lazy_gettext, ngettext

from mirada.batches import batches
from mirada.batches import duplicates as merging
from mirada.batches.batches import Outcome
from mirada.batches.doing import Asker
from mirada.duplicates import deciding, seen, told, twins
from mirada.duplicates.best import Best, Reason
from mirada.duplicates.seen import Group
from mirada.kernel.audience import Audience
from mirada.kernel.duplicates import Tier
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.pictures.shown_images import ShownImage
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages.shell import page
from webapp.pages.sizes import told_size
from webapp.pages.tiles import Tile

HERE = "pages.duplicates"
GROUPS = 12
"""Of one page."""
SHOWN = 9
"""Images of a group: as many as one key chooses."""
NAMES: Mapping[Tier, Any] = {
    Tier.NEAR: lazy_gettext("Same picture"),
    Tier.SAME_FILE: lazy_gettext("Same file"),
    Tier.SAME_SUBJECT: lazy_gettext("Same subject"),
}
REASONS: Mapping[Reason, Any] = {
    Reason.MOST_PIXELS: lazy_gettext("Best: the most pixels"),
    Reason.LEAST_COMPRESSED: lazy_gettext("Best: the least compressed"),
    Reason.MOST_LIKES: lazy_gettext("Best: the most likes"),
    Reason.OLDEST: lazy_gettext("Best: the oldest"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is told of a picture, and whether another one of its group differs in it."""

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Twin:
    """A picture of a group.

    Attributes:
        tile: the picture.
        facts: size in pixels, bytes, format, day and likes.
        is_own: whether it is the caller's, and can be kept or go.
        reason: why it is the best; None for any other.
    """

    tile: Tile
    facts: Sequence[Fact]
    is_own: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Review:
    """A group as the page shows it.

    Attributes:
        id: any of its images leads to it.
        twins: those that are shown, the best first.
        more: images that are not shown.
        going: how many of the caller's own go where one is kept.
    """

    id: int
    twins: Sequence[Twin]
    more: int
    going: int


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""
    blueprint.get("/duplicates", endpoint="duplicates")(show)
    blueprint.post("/duplicates/<id:image_id>/merge")(merge_duplicates)
    blueprint.post("/duplicates/<id:image_id>/none")(keep_all_duplicates)
    blueprint.post("/duplicates/<id:image_id>/forget")(forget_decision)
    blueprint.get("/duplicates/all")(ask_to_merge_all)
    blueprint.post("/duplicates/all")(merge_all)
    blueprint.post("/duplicates/undo")(undo_merge)


def show() -> Any:
    """Groups of one tier, the newest first."""
    user, tier, after = require_user(), _tier(), row_id_of(request.args.get("cursor"))
    with current_runtime().reading() as session:
        every = seen.groups_of(session, tier, user.id)
        groups = [group for group in every if after is None or group.id < after]
        groups = _with_image(groups, _id_of_argument("of"))
        shown = told.shown_of(session, groups[:GROUPS], user.id, told.MOST_COMPARED)
        waiting = told.count_waiting(session, user.id)
    found = (
        _review(group, shown, told.best_own(group, shown, user.id), user.id)
        for group in groups[:GROUPS]
    )
    following = None
    if len(groups) > GROUPS:
        following = _here(tier, cursor=cursor_after(groups[GROUPS - 1].id))
    return page(
        "duplicates.html",
        title=gettext("Duplicates"),
        here=HERE,
        tier=tier,
        tiers=[(name, _here(each), each) for each, name in NAMES.items()],
        groups=[group for group in found if group is not None],
        total=len(every),
        waiting=waiting,
        following=following,
        cursor=request.args.get("cursor"),
        may_take_all=tier in merging.WITHOUT_A_LOOK and bool(every),
        has_trash=bool(current_runtime().settings.trash_days),
        done=_done(user.id),
        undone="undone" in request.args,
        kept=_id_of_argument("kept"),
    )


def merge_duplicates(image_id: int) -> Any:
    """Keep one of a group, and put one's others into the trash; what was decided elsewhere is no mistake."""
    user, tier = require_user(), _tier()
    keep = request.form.get("keep", "")
    try:
        outcome = merging.merge_group(
            current_runtime(),
            tier,
            Asker(user.id),
            image_id,
            keep=in_range(int(keep)) if keep.isdecimal() and len(keep) < 20 else None,
            request_id=request_id(),
        )
    except (NotFound, InvalidInput, Conflict):
        if not current_runtime().settings.trash_days:
            raise
        # Another tab was quicker: the group is another one by now, or none.
        return redirect(_back(tier), 303)
    return redirect(_back(tier, undo=outcome.undo), 303)


def keep_all_duplicates(image_id: int) -> Any:
    """Remember that a group's images are no duplicates for the caller."""
    user, tier = require_user(), _tier()
    try:
        deciding.are_none(current_runtime().database, tier, user.id, image_id)
    except NotFound:
        return redirect(_back(tier), 303)
    return redirect(_back(tier, kept=image_id), 303)


def forget_decision(image_id: int) -> Any:
    """Forget that an image was said to have no duplicates."""
    deciding.forget(current_runtime().database, require_user().id, image_id)
    return redirect(_here(_tier(), cursor=request.args.get("cursor")), 303)


def ask_to_merge_all() -> Any:
    """Ask whether the best of every group is to be kept."""
    user, tier = require_user(), _tier()
    with current_runtime().reading() as session:
        groups = merging.merged_at_once(session, tier, user.id)
    going = sum(len(own) - 1 for own in groups)
    if not going or tier not in merging.WITHOUT_A_LOOK:
        return redirect(_here(tier), 303)
    return page(
        "duplicates_sure.html",
        title=gettext("Keep the best of every group"),
        here=HERE,
        action=url_for("pages.merge_all", tier=tier),
        back=_here(tier),
        going=going,
        kept=len(groups),
    )


def merge_all() -> Any:
    """Keep the best of every group; of many a job does it."""
    user, tier = require_user(), _tier()
    outcome = merging.merge_all(current_runtime(), tier, Asker(user.id), request_id())
    return redirect(_here(tier, undo=outcome.undo), 303)


def undo_merge() -> Any:
    """Undo a merge by its token; once more changes nothing."""
    user = require_user()
    token = request.form.get("token", "")[:100]
    batches.undo(current_runtime(), token, Asker(user.id), request_id())
    return redirect(_here(_tier(), cursor=request.args.get("cursor"), undone=1), 303)


def duplicates_of(image: ShownImage) -> list[tuple[Any, int, str]]:
    """Return the tiers in which somebody's own image has duplicates: name, how many, and where they are."""
    with current_runtime().reading() as session:
        counts = twins.count_twins(session, image.id, Audience(image.owner_id))
    return [
        (name, counts[tier], url_for(HERE, tier=tier.value, of=image.id))
        for tier, name in NAMES.items()
        if counts[tier]
    ]


def _review(
    group: Group, shown: Mapping[int, ShownImage], best: Best | None, user_id: int
) -> Review | None:
    """Return a group as it is shown, the best first; None where too little of it is left by now."""
    images = [shown[each.image_id] for each in group.members if each.image_id in shown]
    if len(images) < 2 or best is None:
        return None
    images.sort(key=lambda image: (image.id != best.image_id, image.owner_id != user_id))
    facts = [_facts(image) for image in images[:SHOWN]]
    differs = [len(set(column)) > 1 for column in zip(*facts, strict=True)]
    twins = [
        Twin(
            Tile(image),
            [Fact(*each) for each in zip(said, differs, strict=True)],
            image.owner_id == user_id,
            str(REASONS[best.reason]) if image.id == best.image_id else None,
        )
        for image, said in zip(images, facts, strict=False)
    ]
    going = sum(member.is_own for member in group.members) - 1
    return Review(group.id, twins, len(group.members) - len(twins), going)


def _with_image(groups: list[Group], image_id: int | None) -> list[Group]:
    """Return the one group with an image, so that its page leads there; all where there is none."""
    found = [each for each in groups if any(one.image_id == image_id for one in each.members)]
    return found or groups


def _facts(image: ShownImage) -> list[str]:
    return [
        f"{image.width} × {image.height}",
        told_size(image.byte_size),
        image.format,
        format_date(image.created_at, "medium"),
        ngettext("%(num)s like", "%(num)s likes", image.like_count),
    ]


def _tier() -> Tier:
    given = request.values.get("tier") or Tier.NEAR
    try:
        return Tier(given)
    except ValueError as error:
        known = ", ".join(Tier)
        raise InvalidInput(f"There is no tier of this name; take one of {known}.") from error


def _here(tier: Tier, **more: Any) -> str:
    return url_for(HERE, tier=None if tier is Tier.NEAR else tier.value, **more)


def _back(tier: Tier, **more: Any) -> str:
    """Return the address of the page that a form stood on, at the group behind it."""
    following = request.form.get("next", "")
    anchor = f"g{following}" if following.isdecimal() else None
    return _here(tier, cursor=request.args.get("cursor"), _anchor=anchor, **more)


def _done(user_id: int) -> Outcome | None:
    """Return what became of the merge that the address names; None for none of the caller's."""
    token = request.args.get("undo")
    if not token:
        return None
    try:
        return batches.read(current_runtime(), token[:100], user_id)
    except NotFound:
        return None


def _id_of_argument(name: str) -> int | None:
    """Return the id that an argument of the address is; None where it is none."""
    given = request.args.get(name, "")
    return in_range(int(given)) if given.isdecimal() and len(given) < 20 else None
