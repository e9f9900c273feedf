"""Groups: the library by theme, and its near-duplicates, as the caller may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.groups import as_seen, runs
from mirada.groups.as_seen import SeenCluster
from mirada.groups.runs import ClusterKind
from mirada.jobs import ledger
from mirada.jobs.reports import JobReport
from mirada.kernel.errors import InvalidInput
from mirada.pictures import image_lists
from mirada.pictures.image_lists import Total
from mirada.pictures.shown_images import ShownImage
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages.explore_address import LIBRARY
from webapp.pages.label_names import group_names
from webapp.pages.shell import page
from webapp.pages.tiles import Tile
from workers.kinds import KINDS

GROUPS = 24
"""Of one page."""
NAMES = {
    ClusterKind.THEMES: lazy_gettext("By theme"),
    ClusterKind.NEAR_DUPLICATES: lazy_gettext("Near-duplicates"),
}
LOOKED_AT = 10
"""Jobs of grouping, the newest: among them is the last one of each kind."""


@dataclass(frozen=True, slots=True)
class GroupCard:
    """A group as the page shows it.

    Attributes:
        name: of what it shows; None where that is not known.
        size: how many pictures the caller sees in it.
        address: of its pictures in Explore.
        tiles: examples.
    """

    name: str | None
    size: int
    address: str
    tiles: Sequence[Tile]


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its form does."""
    blueprint.get("/groups")(groups)
    blueprint.post("/groups")(group_library)


def groups() -> Response:
    """The groups of one kind, the largest first."""
    user, runtime = require_user(), current_runtime()
    kind, after = _kind(request.args.get("kind")), row_id_of(request.args.get("cursor"))
    scope = scope_of_caller()
    with runtime.reading() as session:
        seen = as_seen.list_clusters(session, kind, scope, cursor=after, limit=GROUPS + 1)
        jobs = ledger.list_jobs(session, user, KINDS, kind=runs.CLUSTER_LIBRARY, limit=LOOKED_AT)
    shown = seen.clusters[:GROUPS]
    finished_at = None if seen.run is None else seen.run.finished_at
    return page(
        "groups.html",
        title=gettext("Groups"),
        here="pages.groups",
        kind=kind,
        kinds=[(name, url_for("pages.groups", kind=each), each) for each, name in NAMES.items()],
        cards=_cards(shown, kind),
        following=_following(kind, shown) if len(seen.clusters) > GROUPS else None,
        finished_at=finished_at,
        since=None if finished_at is None else _come_since(finished_at),
        job=_last_job(jobs, kind),
        unfinished=ledger.UNFINISHED,
        may_group=current_caller().is_administrator,
    )


def group_library() -> Any:
    """Have the library grouped anew. For administrators."""
    user, runtime = require_administrator(), current_runtime()
    kind = _kind(request.form.get("kind"))
    with runtime.transaction() as session:
        job = runs.request(session, kind, owner_id=user.id, request_id=request_id())
        job_id, name = job.id, job.kind
    runtime.doorbell.ring(job_id, name)
    return redirect(url_for("pages.groups", kind=kind), 303)


def _kind(given: str | None) -> ClusterKind:
    try:
        return ClusterKind(given or ClusterKind.THEMES)
    except ValueError as error:
        known = ", ".join(ClusterKind)
        raise InvalidInput(f"There is no kind of groups of this name; take of {known}.") from error


def _cards(clusters: Sequence[SeenCluster], kind: ClusterKind) -> list[GroupCard]:
    viewer_id = current_caller().user_id
    # Near-duplicates show one thing, which a picture says better than a label.
    is_named = kind is ClusterKind.THEMES
    names = group_names(clusters) if is_named else [None] * len(clusters)
    cards = []
    for name, found in zip(names, clusters, strict=True):
        images = [ShownImage.of(one.image, viewer_id, liked=False) for one in found.members]
        address = LIBRARY.with_(group=found.id)
        cards.append(GroupCard(name, found.size, address, [Tile(image) for image in images]))
    return cards


def _following(kind: ClusterKind, shown: Sequence[SeenCluster]) -> str:
    return url_for("pages.groups", kind=kind, cursor=cursor_after(shown[-1].id))


def _come_since(moment: datetime) -> Total:
    """Return how many pictures the caller sees that came after the library was grouped."""
    scope = scope_of_caller({"created_after": moment})
    with current_runtime().reading() as session:
        return image_lists.total(session, scope)


def _last_job(jobs: Sequence[JobReport], kind: ClusterKind) -> JobReport | None:
    """Return the newest job of a kind of groups that the caller sees."""
    of_kind = (one for one in jobs if (one.job.arguments or {}).get("kind") == str(kind))
    return next(of_kind, None)
