"""Index: what searches run on, how much they find, and whether it is current. For administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response
from flask_babel import gettext, lazy_gettext

from mirada.embedding import index_reports
from mirada.embedding.index_rebuild import REBUILD_INDEX, request_rebuild
from mirada.embedding.index_reports import IndexReport
from mirada.jobs import ledger
from mirada.jobs.reports import JobReport
from mirada.jobs.summary import Summary, summarise
from webapp.callers.auth import require_administrator
from webapp.http.current import current_runtime, request_id
from webapp.pages import charts
from webapp.pages.activity import answer, start_line
from webapp.pages.shell import is_fragment, page
from workers.kinds import KINDS

HERE = "pages.indexes"
KINDS_OF_SPACES = {
    "image": lazy_gettext("Pictures"),
    "prompt": lazy_gettext("Prompts"),
    "caption": lazy_gettext("Captions"),
}
ADVICE = {
    "rebuild_failed": lazy_gettext(
        "The last rebuild failed. Rebuild it once the reason is mended."
    ),
    "rebuild_due": lazy_gettext(
        "A rebuild is due. A worker begins by itself within a minute or two; searches are right meanwhile."
    ),
    "way_left_out": lazy_gettext(
        "A quicker way of searching is left out. A rebuild measures it anew."
    ),
    "recall_low": lazy_gettext("Searches find less than they should: rebuild the index."),
    "recall_not_measured": lazy_gettext(
        "Nobody measures how much searches find: set RECALL_SAMPLE to 0.01."
    ),
}
"""By the code of the advice; the core's own sentence stands below it with the figures."""


@dataclass(frozen=True, slots=True)
class ShownIndex:
    """An index as the page shows it.

    Attributes:
        report: what is known of it.
        title: of its kind, for people.
        rebuild: the job that builds it anew; None while none waits or runs.
        recalls, sizes: the last thirty days; None where nothing is known.
        snapshot_age_s: seconds since its snapshot was made; None without one.
    """

    report: IndexReport
    title: str
    rebuild: JobReport | None
    recalls: charts.Line | None
    sizes: charts.Line | None
    snapshot_age_s: float | None


def register(blueprint: Blueprint) -> None:
    """Add the page, and the address of its form."""
    blueprint.add_url_rule("/index", "indexes", show)
    blueprint.add_url_rule(
        "/index/<id:space_id>/rebuild", "rebuild_index", rebuild_index, methods=["POST"]
    )


def show() -> Response:
    """Every index that is searched."""
    user, runtime = require_administrator(), current_runtime()
    reports = index_reports.index_reports(runtime)
    with runtime.reading() as session:
        summary = summarise(session, user, KINDS)
        rebuilds = ledger.list_jobs(
            session, user, KINDS, states=ledger.UNFINISHED, kind=REBUILD_INDEX
        )
    floor = runtime.settings.index_recall_target
    context = {
        "indexes": [_shown(report, rebuilds, summary, floor) for report in reports],
        "summary": summary,
        "floor": floor,
        # A constant would be formatted once, in the language of whoever came first.
        "whole": 1.0,
        "advice_texts": ADVICE,
        "chart": charts,
    }
    if is_fragment():
        return page("_indexes.html", **context)
    return page(
        "indexes.html", title=gettext("Index"), here=HERE, start_line=start_line(), **context
    )


def rebuild_index(space_id: int) -> Any:
    """Build one anew; searches go on meanwhile."""
    user, runtime = require_administrator(), current_runtime()
    known_id = index_reports.find_space(runtime, space_id)
    with runtime.transaction() as session:
        job = request_rebuild(session, known_id, owner_id=user.id, request_id=request_id())
    runtime.doorbell.ring(job.id, job.kind)
    return answer()


def _shown(
    report: IndexReport, rebuilds: Sequence[JobReport], summary: Summary, floor: float
) -> ShownIndex:
    made = report.status.snapshot_created_at
    age_s = None
    if made is not None:
        aware = made if made.tzinfo is not None else made.replace(tzinfo=UTC)
        now = datetime.fromtimestamp(summary.at_ms / 1000, UTC)
        age_s = max(0.0, (now - aware).total_seconds())
    mine = [job for job in rebuilds if job.job.space_id == report.space_id]
    return ShownIndex(
        report=report,
        title=str(KINDS_OF_SPACES.get(report.kind, report.kind)),
        rebuild=mine[0] if mine else None,
        recalls=charts.line([day.recall for day in report.days], floor),
        sizes=charts.line([day.size for day in report.days]),
        snapshot_age_s=age_s,
    )
