"""Exports of packs that a job makes, for packs that take longer than anybody waits; fetched within a day.

The job's row is all that the database knows of one. What was made of it lies in `runtime.exports`, so an
attempt that ends early is gone on with.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction
from mirada.db.models import Job, JobState, User
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, TimeLimit
from mirada.jobs.waiting import slot_of
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, ExportExpired, InvalidInput, NotFound
from mirada.kernel.exports import KEPT_FOR_S, MOST_KEPT
from mirada.kernel.ids import in_range
from mirada.kernel.stickers import RULES, Messenger
from mirada.packs.export_files import Keeping, files_beside, made, write_zip
from mirada.packs.exporting import ORIGINALS, Plan, in_words, plan_export, zip_name
from mirada.packs.limits import MOST_IMAGES
from mirada.packs.member_rows import ids_seen
from mirada.packs.shown import see_pack
from mirada.runtime import Runtime

EXPORT_PACK = "export_pack_task"
MOST_UNDER_WAY = 3
"""Exports of one person that wait or are made."""
MOST_BYTES = 1024**3
"""Of the files in one."""
MOST_TOLD = 20
"""Faults that a job's error names; a dry run has all."""
THREADS_PER_EXPORT = 4
"""An export holds a thread for minutes; most of a process's threads stay free."""
HOURS_KEPT = int(KEPT_FOR_S // 3600)


@dataclass(frozen=True, slots=True)
class Made:
    """An export that can be fetched: its file, and what that is called."""

    path: Path
    name: str


def queue_export(
    runtime: Runtime, pack_id: int, owner_id: int, form: str, request_id: str | None = None
) -> int:
    """Queue the export of a pack as somebody sees it, and return the job's id; ring next.

    The same export is queued once at a time; asked for again later, it is made anew.

    Args:
        runtime: where.
        pack_id: which pack.
        owner_id: who asks, and alone may fetch it.
        form: one of FORMATS.
        request_id: follows the work into the worker's log.

    Raises:
        NotFound: there is no such pack that they may see.
        Conflict: MOST_UNDER_WAY of theirs are not done.
    """

    def queued(session: Session) -> int:
        see_pack(session, pack_id, Audience(owner_id))
        # One owner's requests come one after the other, so that none gets past the bound.
        session.get(User, owner_id, with_for_update=True)
        same_work = f"{EXPORT_PACK}:{owner_id}:{pack_id}:{form}"
        under_way = select(func.count()).select_from(Job)
        under_way = under_way.where(
            Job.owner_id == owner_id,
            Job.kind == EXPORT_PACK,
            Job.state.in_(ledger.UNFINISHED),
            Job.same_work != same_work,
        )
        if session.execute(under_way).scalar_one() >= MOST_UNDER_WAY:
            raise Conflict(
                f"{MOST_UNDER_WAY} exports of yours are being made. Wait until one is done, or cancel one."
            )
        job = ledger.enqueue(
            session,
            EXPORT_PACK,
            arguments={"pack_id": pack_id, "format": form, "token": secrets.token_hex(8)},
            owner_id=owner_id,
            request_id=request_id,
            same_work=same_work,
        )
        return job.id

    return in_transaction(runtime.database, queued)


def export_by_job(runtime: Runtime, attempt: Attempt) -> None:
    """Make an export; what an earlier attempt has made of it is used."""
    with slot_of(runtime, EXPORT_PACK, THREADS_PER_EXPORT) as slot:
        slot.take()
        key = _key_of(attempt.job)
        if runtime.exports.finished(key) is None:
            _make(runtime, attempt, key)
    attempts.finish_alone(runtime, attempt)


def _make(runtime: Runtime, attempt: Attempt, key: str) -> None:
    form, audience = attempt.job.arguments["format"], Audience(attempt.job.owner_id)
    plan = _plan(runtime, attempt.job, audience)
    if plan.faults:
        raise _refused(in_words(plan.faults, MOST_TOLD))
    runtime.exports.remove_others(key)
    total = len(plan.members)
    keeping = Keeping(
        there=lambda name: runtime.exports.part(key, name),
        keep=lambda name, content: runtime.exports.keep_part(key, name, content),
        step=lambda done: attempt.report(done, total),
        turns=False,
    )
    try:
        stickers, broken = made(runtime, plan.members, audience, plan.rules, MOST_BYTES, keeping)
        if broken:
            raise _refused(in_words(broken, MOST_TOLD))
        beside = files_beside(runtime, plan.pack, plan.members, audience, stickers, form)
    except Conflict as error:
        raise _refused([error.detail]) from error
    attempt.check()
    facts = {
        "name": zip_name(plan.pack),
        "pack_id": plan.pack.id,
        "image_ids": [each.id for each in plan.members],
    }

    def write(file: IO[bytes]) -> None:
        write_zip(file, stickers, beside)

    runtime.exports.finish(key, facts, write)


def _plan(runtime: Runtime, job: Job, audience: Audience) -> Plan:
    form = job.arguments["format"]
    most = MOST_IMAGES if form == ORIGINALS else RULES[Messenger(form)].most + 1
    plan = plan_export(runtime, job.arguments["pack_id"], audience, form, most)
    if plan.is_cut:
        raise _refused([f"At most {most:,} pictures are exported at once; make two packs of it."])
    return plan


def _refused(said: Collection[str]) -> InvalidInput:
    return InvalidInput(f"The pack cannot be exported. {' '.join(said)}")


def read_export(runtime: Runtime, job_id: int, owner_id: int) -> Made:
    """Return somebody's export that is done.

    Raises:
        NotFound: they have none of that number.
        Conflict: it is not done.
        ExportExpired: it is not kept any more; or its pack, or a picture in it, is one that they may not
            see any more.
    """
    with runtime.reading() as session:
        job = session.get(Job, in_range(job_id))
        if job is None or job.kind != EXPORT_PACK or job.owner_id != owner_id:
            raise NotFound(f"There is no export {job_id}, or it is not yours.")
        if job.state != JobState.DONE:
            waits = "is not done yet" if job.state in ledger.UNFINISHED else "was not made"
            raise Conflict(
                f"Export {job_id} {waits}. Read job {job_id} to see how far it is, or why."
            )
        found = runtime.exports.finished(_key_of(job))
        if found is None:
            raise ExportExpired(
                f"An export is kept for {HOURS_KEPT} hours, and of each person the newest {MOST_KEPT}. Ask "
                "for it again."
            )
        path, facts = found
        _require_seen(session, facts, Audience(owner_id))
        return Made(path, facts["name"])


def _require_seen(session: Session, facts: dict[str, Any], audience: Audience) -> None:
    ids = facts["image_ids"]
    try:
        see_pack(session, facts["pack_id"], audience)
        is_seen = len(ids_seen(session, ids, audience)) == len(set(ids))
    except NotFound:
        is_seen = False
    if not is_seen:
        raise ExportExpired(
            "The pack, or a picture in the export, was deleted or hidden since. Ask for it again."
        )


def _key_of(job: Job) -> str:
    return f"{job.owner_id}-{job.id}-{job.arguments['token']}"


KIND = Kind(
    EXPORT_PACK,
    export_by_job,
    RetryPolicy(max_attempts=5, first_delay_s=30.0),
    TimeLimit(soft_s=3_600, hard_s=7_200),
    title="Export a pack",
    makes_file=True,
)
