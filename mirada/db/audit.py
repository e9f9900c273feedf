"""The audit trail: an act and its entry are one transaction, so without its entry no act exists."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from mirada.db.audit_models import AuditEntry
from mirada.kernel import audit
from mirada.kernel.audit import Action

Fact = str | int | bool | None


def record(
    session: Session,
    action: Action,
    subject_id: int | None = None,
    *,
    owner_id: int | None = None,
    detail: Mapping[str, Fact] | None = None,
) -> None:
    """Add the entry of an act to the transaction that does it.

    Who did it is whoever this thread acts for (`kernel.audit`).

    Args:
        session: the transaction of the act.
        action: what was done.
        subject_id: what it was done to, a thing of the action's kind; None for the whole of them.
        owner_id: whose that is; they read the entry too. None for nobody's.
        detail: a few facts, readable for administrators and the owner: no secret, nothing that people
            wrote for themselves or one another.
    """
    actor = audit.current()
    session.add(
        AuditEntry(
            action=str(action),
            subject_id=subject_id,
            owner_id=owner_id,
            user_id=actor.user_id,
            role=actor.role,
            via=str(actor.via),
            key_id=actor.key_id,
            detail=dict(detail or {}),
        )
    )


def record_of_others(
    session: Session,
    action: Action,
    subject_id: int,
    owner_id: int,
    user_id: int,
    detail: Mapping[str, Fact] | None = None,
) -> None:
    """Add the entry of what an administrator did to somebody else's thing; none of one's own.

    Args:
        session: the transaction of the act.
        action: what was done.
        subject_id: what it was done to.
        owner_id: whose that is.
        user_id: who did it.
        detail: see `record`.
    """
    if owner_id != user_id:
        record(session, action, subject_id, owner_id=owner_id, detail=detail)
