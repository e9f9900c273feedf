"""Jobs of one kind that are claimed and finished together, one transaction each. Never commits.

Leases stay per job: a member whose lease was lost is another attempt's, and the others' are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import count_changed, now_ms
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt
from mirada.kernel.errors import LeaseLost

BATCH = 16
"""Jobs that are claimed together: as many pictures as an encoder takes at once."""

# Built once, as in `attempts`.
_DUE = (
    select(Job.id)
    .where(
        Job.kind == bindparam("the_kind"),
        attempts.is_free(),
        attempts.is_unsuspected(),
    )
    .order_by(Job.next_run_at_ms, Job.id)
    .limit(bindparam("at_most"))
)
_THESE = Job.id.in_(bindparam("ids", expanding=True))
_CLAIM = attempts.claiming(_THESE, attempts.is_unsuspected())
_CLAIMED = select(Job).where(_THESE, Job.lease_token == bindparam("the_token")).order_by(Job.id)
_FINISH = (
    update(Job.__table__)  # type: ignore[arg-type]
    .where(_THESE, Job.lease_token.in_(bindparam("tokens", expanding=True)))
    .values(
        state=JobState.DONE,
        finished_at_ms=now_ms(),
        last_error=None,
        error_code=None,
        lease_token=None,
        lease_until_ms=None,
    )
)


def due(session: Session, kind: str, at_most: int = BATCH) -> list[int]:
    """Return the ids of due jobs of a kind that no attempt of has crashed, the longest due first."""
    rows = session.execute(_DUE, {"the_kind": kind, "at_most": at_most}).scalars()
    return list(rows)


def claim(session: Session, job_ids: Sequence[int], lease_s: int, *, holder: str = "") -> list[Job]:
    """Take those of these jobs that are still due and unsuspected, and return them; commit next.

    Args:
        session: a transaction of its own.
        job_ids: from `due`.
        lease_s: how long the attempts stay ours without being renewed.
        holder: as for `attempts.claim`.
    """
    token = attempts.new_token(holder)
    values = {
        "ids": list(job_ids),
        "the_token": token,
        "the_lease_ms": lease_s * 1000,
        "the_size": len(job_ids),
    }
    if not job_ids or not count_changed(session, _CLAIM, values):
        return []
    found = session.execute(_CLAIMED, {"ids": list(job_ids), "the_token": token}).scalars()
    return list(found)


def finish(session: Session, finished: Sequence[Attempt]) -> None:
    """Record that these attempts have done their work, in the transaction that writes their results.

    Raises:
        LeaseLost: one of them belongs to another attempt now; the results of all are taken back.
    """
    if not finished:
        return
    ids = [attempt.job.id for attempt in finished]
    tokens = list({attempt.token for attempt in finished})
    if count_changed(session, _FINISH, {"ids": ids, "tokens": tokens}) != len(ids):
        raise LeaseLost(
            f"One of {len(ids)} jobs belongs to another attempt now; none of them is finished."
        )
