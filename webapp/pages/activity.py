"""Activity: work under way, what failed and what to do about it, and whether a worker is there."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext

from mirada.jobs import cancelling, ledger
from mirada.jobs.activity import Activity, activity, may_be_cancelled
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict
from mirada.pictures.shown_images import shown_images
from mirada.transfer.seen import SeenState, recent_runs
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages import job_texts, transfer_texts
from webapp.pages.shell import is_fragment, own_address, page
from webapp.pages.tiles import Tile
from workers.kinds import KINDS

HERE = "pages.activity"


def register(blueprint: Blueprint) -> None:
    """Add the page, and the addresses of its forms."""

    @blueprint.context_processor
    def _words() -> dict[str, Any]:
        return {
            "jobs_in": job_texts,
            "transfers_in": transfer_texts,
            "may_be_cancelled": lambda one: may_be_cancelled(one, KINDS),
        }

    blueprint.add_url_rule("/activity", "activity", show)
    for path, act in (
        ("retry", retry_jobs),
        ("jobs/<id:job_id>/retry", retry_job),
        ("jobs/<id:job_id>/cancel", cancel_job),
    ):
        blueprint.add_url_rule(f"/activity/{path}", act.__name__, act, methods=["POST"])


def show() -> Response:
    """The caller's work; an administrator sees everybody's."""
    user, before = require_user(), row_id_of(request.args.get("cursor"))
    with current_runtime().reading() as session:
        found = activity(session, user, KINDS, before)
        runs = recent_runs(session, user)
    context = {
        "work": found,
        "tiles": _tiles(found),
        "older": _older(found),
        "eta_s": _eta_s(found),
        "transfers": runs,
        "transfers_running": sum(run.state is SeenState.RUNNING for run in runs),
    }
    if is_fragment():
        return page("_activity.html", **context)
    return page(
        "activity.html", title=gettext("Activity"), here=HERE, start_line=start_line(), **context
    )


def retry_jobs() -> Any:
    """Queue all failed jobs afresh; what ends the worker is left to be retried one by one."""
    failed = ledger.GIVEN_UP[0]
    cancelling.retry_all(current_runtime(), require_user(), KINDS, state=failed)
    return answer()


def retry_job(job_id: int) -> Any:
    """Queue one afresh."""
    user, runtime = require_user(), current_runtime()
    try:
        with runtime.transaction() as session:
            job = ledger.retry_job(session, job_id, user, KINDS)
    except Conflict:
        # Another tab was quicker, and the page shows what became of it.
        return answer()
    runtime.doorbell.ring(job.id, job.kind)
    return answer()


def cancel_job(job_id: int) -> Any:
    """End one that waits or runs."""
    with current_runtime().transaction() as session:
        cancelling.cancel_job(session, job_id, require_user(), KINDS)
    return answer()


def start_line() -> str:
    """Return the command that starts what works on jobs here."""
    is_apart = current_runtime().settings.redis_url is not None
    return command_line("worker" if is_apart else "run")


def answer() -> Any:
    """Answer a form: nothing for a script, which asks for the page's part then; else lead back."""
    if is_fragment():
        return "", 204
    return redirect(own_address(request.form.get("back"), url_for(HERE)), 303)


def _tiles(found: Activity) -> dict[int, Tile]:
    """Return by id the pictures that jobs are about: at their lasting addresses, as in every list."""
    every = (*found.running, *found.waiting, *found.failed, *found.ended)
    ids = {report.image.id for report in every if report.image is not None}
    with current_runtime().reading() as session:
        shown = shown_images(session, ids, scope_of_caller(own_alone=True))
    return {image_id: Tile(image) for image_id, image in shown.items()}


def _older(found: Activity) -> str | None:
    if found.failed_before is None:
        return None
    return url_for(HERE, cursor=cursor_after(found.failed_before))


def _eta_s(found: Activity) -> float | None:
    """Return seconds until all is done: kinds are worked on side by side, so the longest counts."""
    by_kind = [each.eta_s for each in found.summary.kinds if each.eta_s is not None]
    by_job = [job.eta_s for job in found.running if job.eta_s is not None]
    return max(by_kind + by_job, default=None)
