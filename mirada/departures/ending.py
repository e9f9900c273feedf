"""End a user: their keys count no more, and a job clears away or hands over what was theirs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mirada.db import audit, recall_rows
from mirada.db.models import ApiKey, IdempotencyKey, Job, Role, User, utc_now
from mirada.jobs import ledger
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.people import sign_in_links, users
from mirada.people.roles import LAST_ADMINISTRATOR, locked_administrators
from mirada.search import kept
from mirada.webhooks import hooks

END_USER = "end_user_task"


def end_user(
    session: Session,
    user_id: int,
    *,
    heir_id: int | None,
    asker_id: int | None = None,
    request_id: str | None = None,
) -> Job:
    """End a user and return the queued job; ring for it after the commit.

    The row stays without a name, so that no id is given twice, and so that a person of the host
    product whom it names again is refused and not made anew.

    Args:
        session: a transaction.
        user_id: whose end it is.
        heir_id: who gets their images; None deletes them.
        asker_id: who asks, and who may see the job; None for the command line.
        request_id: follows the work into the worker's log.

    Raises:
        NotFound: there is no such user (any more).
        Conflict: they are the local user, the asker, or the last administrator.
        InvalidInput: the heir is nobody, or the user.
    """
    administrators = locked_administrators(session)
    row = session.get(User, in_range(user_id), with_for_update=True, populate_existing=True)
    if row is None or row.ended_at is not None:
        raise users.no_such_user(user_id)
    if row.username == users.LOCAL_USERNAME:
        raise Conflict("The local user is part of the installation and has no end.")
    if row.id == asker_id:
        raise Conflict("Nobody ends themselves: ask another administrator.")
    if administrators == {row.id}:
        raise Conflict(LAST_ADMINISTRATOR)
    _refuse_no_heir(session, row.id, heir_id)
    now = utc_now()
    # No local name has a colon, so the name is free for somebody else.
    row.username, row.role, row.ended_at = f"ended:{row.id}", Role.USER, now
    row.locale = row.theme = row.density = None
    _void_keys(session, row.id, now)
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.owner_id == row.id))
    recall_rows.forget_viewer(session, row.id)
    kept.forget_viewer(session, row.id)
    hooks.forget_all_of(session, row.id)
    told = {"images": "delete" if heir_id is None else "hand_over", "heir_id": heir_id}
    audit.record(session, Action.USER_END, row.id, owner_id=row.id, detail=told)
    session.flush()
    return ledger.enqueue(
        session,
        END_USER,
        subject_id=row.id,
        arguments={"heir_id": heir_id},
        owner_id=asker_id,
        request_id=request_id,
    )


def _void_keys(session: Session, user_id: int, now: datetime) -> None:
    """End the keys of a user, and the links that would make further ones."""
    session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None) | (ApiKey.revoked_at > now))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    sign_in_links.forget_all_of(session, user_id)


def _refuse_no_heir(session: Session, user_id: int, heir_id: int | None) -> None:
    if heir_id is None:
        return
    try:
        heir = users.get_user(session, heir_id)
    except NotFound as error:
        raise InvalidInput(error.detail, fields={"heir_id": [error.detail]}) from error
    if heir.id == user_id:
        reason = "Name somebody else to hand the images over to."
        raise InvalidInput(reason, fields={"heir_id": [reason]})


def heir_of(session: Session, heir_id: int) -> int:
    """Return the heir's id. Raises InvalidInput when they have been ended since."""
    query = select(User.id).where(User.id == heir_id, User.ended_at.is_(None))
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        raise InvalidInput(f"User {heir_id}, who was to get the images, was ended as well.")
    return found
