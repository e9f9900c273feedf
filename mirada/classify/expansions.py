"""What a language model adds to a label: looked up, asked for once, kept for ever.

Kept by label, model and prompt version, so nothing is paid for twice. Asking happens in a job and
never inside a transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.classify.label_expansion import PROMPT_VERSION, Expansion, from_dict
from mirada.db.classifier_models import LabelExpansion
from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs import ledger

EXPAND_LABEL = "expand_label_task"
FAILED_STANDS_S = 3_600
"""After an hour a label that comes up is asked for again: a key may have been renewed meanwhile."""
PAGE_LABELS = 500


class ExpansionStatus(StrEnum):
    """How far the expansion of a label has come."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"
    MISSING = "missing"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the database holds of a label's expansion.

    Attributes:
        status: READY, PENDING with a job on its way, FAILED with one given up lately, or MISSING.
        expansion: what was stored; None unless READY.
        job_id: the job that asks, or asked; None where there has been none, or none is needed.
        waits_s: seconds until that job may begin; 0 while it runs or when it has ended.
        reason: why the last attempt failed; None when there was no failure.
    """

    status: ExpansionStatus
    expansion: Expansion | None = None
    job_id: int | None = None
    waits_s: float = 0.0
    reason: str | None = None


def look_up(session: Session, label: str, model: str) -> LookedUp:
    """Return what is known of one label, its name as `normalised_name` returns it."""
    return look_up_all(session, [label], model)[label]


def look_up_all(session: Session, labels: Iterable[str], model: str) -> dict[str, LookedUp]:
    """Return what is known of each label, names as `normalised_name` returns them."""
    names = list(dict.fromkeys(labels))
    known = {name: LookedUp(ExpansionStatus.MISSING) for name in names}
    # Jobs first: one that is seen to have ended has stored its answer before the second look.
    asked = {_same_work(name, model): name for name in names}
    for page in _pages(list(asked)):
        for job, now in session.execute(select(Job, now_ms()).where(Job.same_work.in_(page))):
            known[asked[job.same_work]] = _of_job(job, now)
    for page in _pages(names):
        rows = session.execute(
            select(LabelExpansion.label, LabelExpansion.expansion).where(
                LabelExpansion.label.in_(page),
                LabelExpansion.model == model,
                LabelExpansion.prompt_version == PROMPT_VERSION,
            )
        )
        for name, stored in rows:
            known[name] = LookedUp(ExpansionStatus.READY, from_dict(stored))
    return known


def request_expansion(
    session: Session,
    label: str,
    model: str,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
    again: bool = False,
) -> LookedUp:
    """Return what is known of a label, and queue the question if it is not asked yet.

    Ring for `job_id` after the commit when the status is PENDING. However many ask at the same
    time, there is one job.

    Args:
        session: the transaction that queues.
        label: its name as `normalised_name` returns it.
        model: who is asked.
        owner_id: who may see the job; None leaves it to administrators.
        request_id: follows the work into the worker's log.
        again: ask even though it failed lately.
    """
    known = look_up(session, label, model)
    if known.status in (ExpansionStatus.READY, ExpansionStatus.PENDING):
        return known
    if known.status == ExpansionStatus.FAILED and not again:
        return known
    job = ledger.enqueue(
        session,
        EXPAND_LABEL,
        arguments={"label": label, "model": model, "prompt_version": PROMPT_VERSION},
        owner_id=owner_id,
        request_id=request_id,
        same_work=_same_work(label, model),
    )
    return LookedUp(ExpansionStatus.PENDING, job_id=job.id)


def store_expansion(session: Session, label: str, model: str, found: Expansion) -> None:
    """Keep an expansion; one that is kept already stays as it is."""
    row = LabelExpansion(
        label=label, model=model, prompt_version=PROMPT_VERSION, expansion=found.to_dict()
    )
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        # An attempt that was given up for lost came back with its answer. The first one stays.
        if look_up(session, label, model).expansion is None:
            raise


def _of_job(job: Job, now: int) -> LookedUp:
    if job.state in ledger.UNFINISHED:
        is_waiting = job.state == JobState.QUEUED
        waits_s = max(job.next_run_at_ms - now, 0) / 1000 if is_waiting else 0.0
        return LookedUp(ExpansionStatus.PENDING, None, job.id, waits_s, job.last_error)
    is_recent = now - (job.finished_at_ms or 0) < FAILED_STANDS_S * 1000
    if job.state in ledger.GIVEN_UP and is_recent:
        return LookedUp(ExpansionStatus.FAILED, None, job.id, 0.0, job.last_error)
    return LookedUp(ExpansionStatus.MISSING, None, job.id, 0.0, job.last_error)


def _same_work(label: str, model: str) -> str:
    # Digested: a label of emoji and a long model name together would not fit the column.
    digest = hashlib.sha256(json.dumps([label, model, PROMPT_VERSION]).encode()).hexdigest()
    return f"{EXPAND_LABEL}:{digest}"


def _pages(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), PAGE_LABELS):
        yield names[start : start + PAGE_LABELS]
