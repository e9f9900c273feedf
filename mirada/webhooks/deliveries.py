"""The log of a webhook: what was sent, what came back, and sending it again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, joinedload

from mirada.db.models import Job, utc_now
from mirada.db.pages import newest_first
from mirada.db.session import count_changed
from mirada.db.webhook_models import DeliveryState as DeliveryState
from mirada.db.webhook_models import Webhook
from mirada.db.webhook_models import WebhookDelivery as WebhookDelivery
from mirada.jobs import ledger
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.ids import in_range
from mirada.webhooks.hooks import Ended, get_webhook
from mirada.webhooks.telling import DELIVER_WEBHOOK, Message, queue, same_work

TEST = "test"
"""The event of a message that somebody asked for to try their receiver."""
KEPT_FOR = timedelta(days=30)
FAILING_FOR = timedelta(days=5)
"""A webhook of which no message was taken for so long is switched off."""
PURGE_ROWS = 500
MAX_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that is to be sent now.

    Attributes:
        address: of the receiver.
        signers: secrets to sign with, the newest first.
        message_id: the same for every attempt.
        event: its name.
        at: when it was noticed.
        data: what happened.
    """

    address: str
    signers: tuple[str, ...]
    message_id: str
    event: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt.

    Attributes:
        status: of HTTP; None where no answer came.
        error: in words; None where the message was taken.
        took_ms: from the look-up of the name to the answer.
        is_hopeless: whether no other attempt is to be made.
    """

    status: int | None
    error: str | None
    took_ms: int
    is_hopeless: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that it wants no more (410)."""
        return self.status == 410


def list_deliveries(
    session: Session, user_id: int, webhook_id: int, *, cursor: int | None = None, limit: int = 20
) -> Sequence[WebhookDelivery]:
    """Return what was sent to a webhook within 30 days, newest first. Raises NotFound."""
    hook = get_webhook(session, user_id, webhook_id)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == hook.id)
    return session.execute(newest_first(query, WebhookDelivery.id, cursor, limit)).scalars().all()


def get_delivery(
    session: Session, user_id: int, webhook_id: int, delivery_id: int
) -> WebhookDelivery:
    """Return one message to a webhook. Raises NotFound: there is none of theirs."""
    query = (
        select(WebhookDelivery)
        .join(Webhook)
        .where(
            WebhookDelivery.id == in_range(delivery_id),
            WebhookDelivery.webhook_id == in_range(webhook_id),
            Webhook.user_id == user_id,
        )
    )
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id} of webhook {webhook_id}.")
    return found


def send_test(session: Session, user_id: int, webhook_id: int) -> tuple[WebhookDelivery, int]:
    """Queue a message that says nothing, and return it with its job, to ring for.

    Raises:
        NotFound: there is no such webhook of theirs.
        Conflict: it is switched off.
    """
    hook = get_webhook(session, user_id, webhook_id)
    _require_enabled(hook)
    (row,) = queue(session, [Message(hook.id, TEST, 0, secrets.randbits(62), {})])
    return row, _job_of(session, row.id).id


def replay(
    session: Session, user_id: int, webhook_id: int, delivery_id: int
) -> tuple[WebhookDelivery, int]:
    """Queue a message again under its old id, and return it with its job, to ring for.

    Raises:
        NotFound: there is none of theirs.
        Conflict: the webhook is switched off, or the message is still on its way.
    """
    row = get_delivery(session, user_id, webhook_id, delivery_id)
    _require_enabled(get_webhook(session, user_id, webhook_id))
    if row.state == DeliveryState.WAITING:
        raise Conflict("It is still on its way; it can be sent again once that has ended.")
    row.state, row.attempts = DeliveryState.WAITING, 0
    row.status = row.error = row.took_ms = row.attempted_at = None
    session.flush()
    job = ledger.enqueue(session, DELIVER_WEBHOOK, subject_id=row.id, same_work=same_work(row.id))
    return row, job.id


def _require_enabled(hook: Webhook) -> None:
    if not hook.is_enabled:
        raise Conflict("The webhook is switched off; switch it on first (is_enabled: true).")


def _job_of(session: Session, delivery_id: int) -> Job:
    return session.execute(select(Job).where(Job.same_work == same_work(delivery_id))).scalar_one()


def to_send(session: Session, delivery_id: int | None) -> Sending | None:
    """Return a message that is still to be sent; None where it is not.

    What waits for a webhook that is switched off is cancelled.
    """
    row = session.execute(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .options(joinedload(WebhookDelivery.webhook))
    ).scalar_one_or_none()
    if row is None or row.state != DeliveryState.WAITING:
        return None
    hook = row.webhook
    if not hook.is_enabled:
        row.state, row.error = DeliveryState.CANCELLED, "The webhook was switched off."
        return None
    signers = [hook.secret]
    if hook.old_secret and hook.old_secret_until and hook.old_secret_until > utc_now():
        signers.append(hook.old_secret)
    return Sending(
        hook.address, tuple(signers), row.message_id, row.event, row.created_at, row.data
    )


def record(session: Session, delivery_id: int | None, outcome: Outcome) -> bool:
    """Write what came of an attempt, and return whether that was the last one for now.

    A receiver that is gone, or has failed for FAILING_FOR, is switched off.
    """
    row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None:
        return True
    hook = session.get_one(Webhook, row.webhook_id, with_for_update=True)
    now = utc_now()
    row.attempts += 1
    row.status, row.took_ms, row.attempted_at = outcome.status, outcome.took_ms, now
    row.error = outcome.error and outcome.error[:MAX_ERROR_CHARS]
    if outcome.error is None:
        row.state, hook.failing_since = DeliveryState.DELIVERED, None
        return True
    hook.failing_since = hook.failing_since or now
    if outcome.is_gone:
        _switch_off(hook, Ended.GONE)
    elif now - hook.failing_since >= FAILING_FOR:
        _switch_off(hook, Ended.FAILING)
    if outcome.is_hopeless or not hook.is_enabled:
        row.state = DeliveryState.FAILED
        return True
    return False


def _switch_off(hook: Webhook, reason: Ended) -> None:
    if hook.is_enabled:
        hook.is_enabled, hook.ended_reason = False, reason


def give_up(session: Session, delivery_id: int, reason: str) -> None:
    """Note that a message is not tried any more."""
    count_changed(
        session,
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == DeliveryState.WAITING)
        .values(state=DeliveryState.FAILED),
    )


def wait_again(session: Session, delivery_id: int) -> None:
    """Note that a message is tried again after all."""
    count_changed(
        session,
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == DeliveryState.FAILED)
        .values(state=DeliveryState.WAITING),
    )


def forget_old(session: Session) -> int:
    """Delete the oldest messages that are not on their way and older than 30 days, with their jobs.

    Returns how many.
    """
    old = select(WebhookDelivery.id).where(
        WebhookDelivery.created_at < utc_now() - KEPT_FOR,
        WebhookDelivery.state != DeliveryState.WAITING,
    )
    ids = list(session.execute(old.limit(PURGE_ROWS)).scalars())
    if not ids:
        return 0
    done = Job.kind == DELIVER_WEBHOOK, Job.subject_id.in_(ids), Job.state.in_(ledger.FINAL)
    count_changed(session, delete(Job).where(*done))
    return count_changed(session, delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))
