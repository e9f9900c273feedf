"""Expansions of labels: looked up, queued once, waited for a little, and stored for good.

They are stored by label, model and prompt version, so nothing is paid for twice. Only the job that
`expand_label` works on asks the model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.label_expansion import (
    PROMPT_VERSION,
    Expansion,
    expansion_question,
    from_dict,
    parse,
)
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import LabelExpansion
from mirada.db.deadlocks import in_transaction
from mirada.db.inserts import insert_unless_there
from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.errors import ModelUnusable, Unavailable
from mirada.language_model import paying, spending
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

EXPAND_LABEL = "expand_label_task"
FAILED_STANDS_S = 3_600
"""After an hour a label that comes up is asked for again: a key may have been renewed meanwhile."""
LOOK_EVERY_S = 0.05


class ExpansionStatus(StrEnum):
    """The progress of a label's expansion."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"
    MISSING = "missing"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A label's expansion as the database holds it, or the job that asks for it.

    Attributes:
        status: READY, PENDING with a job on its way, FAILED with one given up lately, or MISSING.
        expansion: the stored expansion; None unless READY.
        job_id: the job that asks, or asked; None where there has been none, or none is needed.
        waits_s: seconds until that job may begin; 0 while it runs or when it has ended.
        reason: the error of the last attempt; None when there was none.
    """

    status: ExpansionStatus
    expansion: Expansion | None = None
    job_id: int | None = None
    waits_s: float = 0.0
    reason: str | None = None


def look_up(session: Session, label: str, model: str) -> LookedUp:
    """Return the expansion of one label, its name as `normalised_name` returns it."""
    return look_up_all(session, [label], model)[label]


def look_up_all(session: Session, labels: Iterable[str], model: str) -> dict[str, LookedUp]:
    """Return the expansion of each label, names as `normalised_name` returns them."""
    names = list(dict.fromkeys(labels))
    known = {name: LookedUp(ExpansionStatus.MISSING) for name in names}
    # Jobs first: one that is seen to have ended has stored its answer before the second look.
    asked = {_same_work(name, model): name for name in names}
    for job, now in rows_in(session, select(Job, now_ms()), Job.same_work, asked):
        known[asked[job.same_work]] = _of_job(job, now)
    stored = select(LabelExpansion.label, LabelExpansion.expansion).where(
        LabelExpansion.model == model, LabelExpansion.prompt_version == PROMPT_VERSION
    )
    for name, found in rows_in(session, stored, LabelExpansion.label, names):
        known[name] = LookedUp(ExpansionStatus.READY, from_dict(found))
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
    """Return the expansion of a label, and queue the question if it is not asked yet.

    Ring for `job_id` after the commit when the status is PENDING. Several that ask at the same time
    get one job.

    Args:
        session: the transaction that queues.
        label: its name as `normalised_name` returns it.
        model: the model that is asked.
        owner_id: the user who may see the job; None leaves it to administrators.
        request_id: follows the work into the worker's log.
        again: ask even though it failed lately.
    """
    known = look_up(session, label, model)
    asks = (
        (ExpansionStatus.MISSING, ExpansionStatus.FAILED) if again else (ExpansionStatus.MISSING,)
    )
    if known.status not in asks:
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


def expansions_are_on(runtime: Runtime) -> bool:
    """Return whether labels are expanded at all: switched on, and with a key."""
    settings = runtime.settings
    # A key is enough to know: the client is built where it is used. That there is none is said there.
    return settings.enable_llm_label_expansion and (
        settings.openai_api_key is not None or runtime.language_model is not None
    )


def queue_expansion(
    runtime: Runtime,
    label: str,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
    again: bool = False,
) -> LookedUp:
    """Queue the question about a label unless it is answered or queued already, and ring the doorbell.

    Args:
        runtime: its settings name the model.
        label: its name as `normalised_name` returns it.
        owner_id: the user who may see the job; None leaves it to administrators.
        request_id: follows the work into the worker's log.
        again: ask even though it failed lately.
    """
    model = runtime.settings.llm_label_expansion_model
    known = in_transaction(
        runtime.database,
        lambda session: request_expansion(
            session, label, model, owner_id=owner_id, request_id=request_id, again=again
        ),
    )
    if known.status == ExpansionStatus.PENDING and known.job_id is not None:
        runtime.doorbell.ring(known.job_id, EXPAND_LABEL)
    return known


def expansion_within(
    runtime: Runtime,
    label: str,
    wait_ms: int | None = None,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
) -> tuple[Expansion | None, ExpansionStatus]:
    """Return a label's expansion if it is there within a short wait; else it is queued.

    Trouble on the way, even the database's, is reported as PENDING and not raised. Call it outside
    any transaction.

    Args:
        runtime: its settings name the model.
        label: its name as `normalised_name` returns it.
        wait_ms: the longest wait; None takes LLM_LABEL_EXPANSION_WAIT_MS.
        owner_id: the user who may see the job; None leaves it to administrators.
        request_id: follows the work into the worker's log.

    Returns:
        The expansion with READY; None with PENDING, FAILED, or OFF.
    """
    if not expansions_are_on(runtime):
        return None, ExpansionStatus.OFF
    usual_ms = runtime.settings.llm_label_expansion_wait_ms
    wait_s = (usual_ms if wait_ms is None else wait_ms) / 1000
    deadline = time.monotonic() + wait_s
    try:
        known = _look_up(runtime, label)
        if known.status == ExpansionStatus.MISSING:
            known = queue_expansion(runtime, label, owner_id=owner_id, request_id=request_id)
        # A question that rests until later, because the server is busy, is not waited for.
        while (
            known.status == ExpansionStatus.PENDING
            and known.waits_s < wait_s
            and (left_s := deadline - time.monotonic()) > 0
        ):
            time.sleep(min(LOOK_EVERY_S, left_s))
            known = _look_up(runtime, label)
    except Unavailable as error:
        logger.warning("The expansion of a label was not looked up: %s", error)
        return None, ExpansionStatus.PENDING
    if known.status == ExpansionStatus.MISSING:
        # Its job ended without an answer, in a worker for which expansions are switched off.
        return None, ExpansionStatus.PENDING
    return known.expansion, known.status


def _look_up(runtime: Runtime, label: str) -> LookedUp:
    with runtime.reading() as session:
        return look_up(session, label, runtime.settings.llm_label_expansion_model)


def store_expansion(session: Session, label: str, model: str, found: Expansion) -> None:
    """Store an expansion; one that is stored already stays as it is."""
    # There is one when an attempt that was given up for lost comes back with its answer.
    row = {
        "label": label,
        "model": model,
        "prompt_version": PROMPT_VERSION,
        "expansion": found.to_dict(),
    }
    session.execute(insert_unless_there(session, LabelExpansion, row))


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


def expand_label(runtime: Runtime, attempt: Attempt) -> None:
    """Ask the language model about a label, and keep what it says."""
    settings, asked = runtime.settings, attempt.job.arguments
    label, model = str(asked["label"]), str(asked["model"])
    is_outdated = asked["prompt_version"] != PROMPT_VERSION
    with runtime.reading() as session:
        # This may be the second of two jobs that were queued while the first one came to its end.
        is_known = look_up(session, label, model).expansion is not None
    if is_known or is_outdated or not settings.enable_llm_label_expansion:
        attempts.finish_alone(runtime, attempt)
        return
    order = paying.order_of(attempt, spending.EXPANSION, f"label:{label}"[:191])
    timeout_s = settings.llm_label_expansion_timeout_ms / 1000
    try:
        with paying.paid_call(runtime, order, expansion_question(label, model, timeout_s)) as reply:
            found = parse(reply.text)
    except ModelUnusable:
        if model == settings.llm_label_expansion_model:
            raise
        # Another model has taken its place since, and whoever wants the label asks that one.
        attempts.finish_alone(runtime, attempt)
        return
    with runtime.transaction() as session:
        store_expansion(session, label, model, found)
        attempts.finish(session, attempt.job.id, attempt.token)


KIND = Kind(
    EXPAND_LABEL,
    expand_label,
    # Somebody may be looking at the label; a server that is busy says for how long.
    RetryPolicy(first_delay_s=5.0),
    title="Describe a label in more words",
)
