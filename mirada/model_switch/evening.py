"""The job that keeps two spaces even while both are kept, so that nothing is lost either way.

New pictures get both vectors at once. What is left are texts, pictures whose second encoder failed, and
what a job wrote that had begun before a flip.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.db.models import Space
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.model_switch import changing, filling, rows
from mirada.model_switch.building import Views, fill_all, views_of
from mirada.runtime import Runtime

KEPT = (SwitchState.READY, SwitchState.FLIPPED)
"""States in which both spaces are complete and kept."""


def queue_due_evening(runtime: Runtime) -> None:
    """Queue the job where a vector is missing in one of two spaces that are kept, and ring for it."""
    with runtime.reading() as session:
        switch = rows.active_switch(session)
        if switch is None or switch.state not in KEPT:
            return
        fillings = [
            each for views in _both_ways(runtime, session, switch) for each in views.fillings
        ]
        if not any(filling.is_any_lacking(session, each) for each in fillings):
            return
    with runtime.transaction() as session:
        job = ledger.enqueue(session, changing.EVEN, subject_id=switch.id)
    runtime.doorbell.ring(job.id, job.kind)


def even_spaces(runtime: Runtime, attempt: Attempt) -> None:
    """Embed what is missing in either of two spaces that are kept."""
    with runtime.reading() as session:
        switch = rows.active_switch(session)
        if switch is None or switch.state not in KEPT:
            ways: tuple[Views, ...] = ()
        else:
            ways = _both_ways(runtime, session, switch)
    for views in ways:
        fill_all(runtime, attempt, views)
    attempts.finish_alone(runtime, attempt)


def _both_ways(runtime: Runtime, session: Session, switch: ModelSwitch) -> tuple[Views, ...]:
    """Return what fills the spare spaces from those in use, and the other way round."""
    there = views_of(runtime, session, switch)
    back = tuple(
        replace(
            each,
            from_id=each.to_id,
            to_id=each.from_id,
            to=session.get_one(Space, each.from_id).to_space(),
        )
        for each in there.fillings
    )
    return there, Views(there.other, there.now, back)


KIND = Kind(
    changing.EVEN,
    even_spaces,
    RetryPolicy(max_attempts=5, first_delay_s=10.0),
    title="Bring the vectors of two models to the same state",
    why_not_cancelled=changing.CANCELLED_AS_A_WHOLE,
)
