"""Ask for a report: a small set is measured at once, a larger one by a job."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction
from mirada.db.evaluation_models import EvaluationReport
from mirada.db.idempotency import Once, once
from mirada.evaluation.evaluating import Evaluation, Measured, evaluate
from mirada.evaluation.in_use import measured_in_use
from mirada.evaluation.judged_queries import JudgedQuery, judged_queries
from mirada.evaluation.report_rows import (
    KeptReport,
    begin_report,
    finish_report,
    get_report,
    unfinished_report,
)
from mirada.evaluation.sets import get_set, locked_set
from mirada.jobs import ledger
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import Conflict, NotFound
from mirada.runtime import Runtime

EVALUATE_SET = "evaluate_set_task"
SMALL_QUERIES = 50
SMALL_PICTURES = 20_000
"""A set of so many queries, over so many pictures that its owner sees, takes about a second."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A report that somebody asked for.

    Attributes:
        report: finished, or to be finished by its job.
        job_to_ring: the job to ring for after the commit; None for none.
        was_replayed: an earlier request with the same Idempotency-Key asked for it.
    """

    report: KeptReport
    job_to_ring: int | None = None
    was_replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Asking:
    """A request for a report of a person's set."""

    set_id: int
    owner_id: int
    once: Once
    request_id: str | None

    def earlier(self, session: Session) -> Asked | None:
        """Return what an earlier request with the same key asked for; None for a new request.

        Raises:
            Conflict: that was deleted since.
            InvalidInput: the key is another request's.
        """
        report_id = self.once.earlier(session)
        if report_id is None:
            return None
        try:
            report = get_report(session, self.set_id, report_id, self.owner_id)
        except NotFound as error:
            raise Conflict(
                "The report of this Idempotency-Key was deleted since. Send a new key to make one."
            ) from error
        return Asked(report, was_replayed=True)


def ask_report(
    runtime: Runtime,
    set_id: int,
    owner_id: int,
    space: str = "image",
    *,
    key: str | None = None,
    request_id: str | None = None,
    at_once: bool = False,
) -> Asked:
    """Measure a person's set in a space, and keep the figures.

    A set that is being measured in that space already gives the report of that.

    Args:
        runtime: with the encoders.
        set_id: which set.
        owner_id: who asks.
        space: as `measured_in_use` takes it.
        key: the request's Idempotency-Key.
        request_id: follows the work into the worker's log.
        at_once: measure a set of any size now, such as for the command line.

    Raises:
        NotFound: there is no such set of theirs, or no such space.
        Conflict: the set has no query, the space is not in use, embeddings are switched off, or the
            key's report was deleted since.
        InvalidInput: the key is another request's.
        Unavailable: the encoder cannot be had in time.
    """
    request = once(owner_id, key, f"evaluation report of {set_id}", {"space": space})
    asking = _Asking(set_id, owner_id, request, request_id)
    with runtime.reading() as session:
        kept = get_set(session, set_id, owner_id)
        earlier = asking.earlier(session)
    if earlier is not None:
        return earlier
    if not kept.query_count:
        raise Conflict("The set has no query yet, so there is nothing to measure.")
    measured = measured_in_use(runtime, space, is_interactive=not at_once)
    if at_once or _is_small(runtime, measured, owner_id, kept.query_count):
        with runtime.reading() as session:
            queries = judged_queries(session, set_id)
        found = evaluate(runtime, measured, queries)
        return _keep(runtime, asking, measured, found, queries)
    return _queue(runtime, asking, measured)


def _is_small(runtime: Runtime, measured: Measured, owner_id: int, queries: int) -> bool:
    if queries > SMALL_QUERIES:
        return False
    # Of what the owner sees: whether others keep many pictures is not to be told.
    seen = runtime.vector_source(measured.space_id).passing(Scope(Audience(owner_id)))
    return bool(seen.size <= SMALL_PICTURES)


def _keep(
    runtime: Runtime,
    asking: _Asking,
    measured: Measured,
    found: Evaluation,
    queries: list[JudgedQuery],
) -> Asked:
    def store(session: Session) -> Asked:
        locked_set(session, asking.set_id, asking.owner_id)
        twin = asking.earlier(session)
        if twin is not None:
            return twin
        report_id = _begin(session, asking.set_id, measured)
        finish_report(session, report_id, found, queries)
        asking.once.keep(session, report_id)
        return Asked(get_report(session, asking.set_id, report_id, asking.owner_id))

    return in_transaction(runtime.database, store)


def _queue(runtime: Runtime, asking: _Asking, measured: Measured) -> Asked:
    def store(session: Session) -> Asked:
        locked_set(session, asking.set_id, asking.owner_id)
        twin = asking.earlier(session)
        if twin is not None:
            return twin
        report_id, job_id = unfinished_report(session, asking.set_id, measured.space_id), None
        if report_id is None:
            report_id = _begin(session, asking.set_id, measured)
            job = ledger.enqueue(
                session,
                EVALUATE_SET,
                subject_id=report_id,
                space_id=measured.space_id,
                owner_id=asking.owner_id,
                request_id=asking.request_id,
            )
            session.get_one(EvaluationReport, report_id).job_id = job_id = job.id
        asking.once.keep(session, report_id)
        session.flush()
        report = get_report(session, asking.set_id, report_id, asking.owner_id)
        return Asked(report, job_id)

    return in_transaction(runtime.database, store)


def _begin(session: Session, set_id: int, measured: Measured) -> int:
    space = measured.encoder.space
    return begin_report(session, set_id, measured.space_id, space.name, space.model)
