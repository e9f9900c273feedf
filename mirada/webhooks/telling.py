"""Messages for webhooks, with the jobs that send them: noticed by what rows say, so that none is lost.

The sweeper looks every few seconds for images and jobs that have changed since it last did, and some
minutes further back, because a change is dated before its commit. A message has a key of its own in its
webhook, so nothing is told twice. Only an image that is erased leaves no row to notice: that an image is
deleted is told in the transaction that erases it or puts it into the trash.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, select, true, update
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Image, Job, JobState
from mirada.db.session import now_ms
from mirada.db.webhook_models import Webhook, WebhookDelivery
from mirada.jobs import ledger
from mirada.kernel.images import ImageStatus
from mirada.webhooks.hooks import Event

DELIVER_WEBHOOK = "deliver_webhook_task"
OVERLAP_MS = 300_000
"""So far back it is looked again: no transaction of ours takes so long, and clocks differ by less."""
MOST_AT_ONCE = 500
ROUNDS = 10
DAY_MS = 86_400_000


class Message(NamedTuple):
    """Something to tell a webhook; `event`, `subject_id` and `moment` are told once."""

    webhook_id: int
    event: str
    subject_id: int
    moment: int
    data: Mapping[str, Any]


def notice(session: Session) -> int:
    """Queue the messages about what has happened since the last call; return how many they are.

    Costs one small statement where there is no webhook. Ring for the jobs by the sweep after it.
    """
    hooks = session.execute(
        select(Webhook.id, Webhook.noticed_ms).where(Webhook.is_enabled == true())
    ).all()
    if not hooks:
        return 0
    now: int = session.execute(select(now_ms())).scalar_one()
    since_ms = min(hook.noticed_ms for hook in hooks) - OVERLAP_MS
    total = 0
    for _ in range(ROUNDS):
        found = [
            *_ended_images(session, since_ms),
            *_ended_jobs(session, since_ms),
            *_reached_budgets(session, now),
        ]
        queue(session, found)
        total += len(found)
        if len(found) < MOST_AT_ONCE:
            ids = [hook.id for hook in hooks]
            session.execute(
                update(Webhook).where(Webhook.id.in_(ids)).values(noticed_ms=now),
                execution_options={"synchronize_session": False},
            )
            break
    return total


def deleted(session: Session, owners: Mapping[int, int]) -> None:
    """Queue the messages about images that this transaction erases or puts into the trash.

    Args:
        session: that transaction.
        owners: their owners' ids, by image id. What is erased from the trash was told before.
    """
    wanting = select(Webhook.id, Webhook.user_id).where(_wants(Event.IMAGE_DELETED))
    hooks = list(rows_in(session, wanting, Webhook.user_id, owners.values()))
    if not hooks:
        return
    # An image that is taken back may be deleted again.
    now: int = session.execute(select(now_ms())).scalar_one()
    queue(
        session,
        [
            Message(hook.id, Event.IMAGE_DELETED, image_id, now, {"image_id": image_id})
            for image_id, owner_id in sorted(owners.items())
            for hook in hooks
            if hook.user_id == owner_id
        ],
    )


def queue(session: Session, messages: Iterable[Message]) -> list[WebhookDelivery]:
    """Insert deliveries and the jobs that send them, and return the deliveries."""
    rows = [
        WebhookDelivery(
            webhook_id=each.webhook_id,
            message_id=f"msg_{secrets.token_hex(16)}",
            event=each.event,
            subject_id=each.subject_id,
            moment=each.moment,
            data=dict(each.data),
        )
        for each in messages
    ]
    if not rows:
        return []
    session.add_all(rows)
    session.flush()
    now: int = session.execute(select(now_ms())).scalar_one()
    for row in rows:
        job = Job(
            kind=DELIVER_WEBHOOK,
            subject_id=row.id,
            same_work=same_work(row.id),
            arguments={},
            next_run_at_ms=now,
        )
        ledger.add_first(session, job)
    session.flush()
    return rows


def same_work(delivery_id: int) -> str:
    """Return the key of the job that sends a delivery."""
    return f"{DELIVER_WEBHOOK}:{delivery_id}"


def _ended_images(session: Session, since_ms: int) -> list[Message]:
    """Return what became of images: each outcome of each is told once."""
    found = []
    for event, status in (
        (Event.IMAGE_READY, ImageStatus.READY),
        (Event.IMAGE_FAILED, ImageStatus.FAILED),
    ):
        rows = session.execute(
            select(Webhook.id, Image.id.label("image_id"))
            .join(Image, Image.owner_id == Webhook.user_id)
            .where(
                _wants(event),
                Image.updated_at
                >= datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=since_ms),
                Image.id > Webhook.after_image_id,
                Image.status == status,
                Image.trashed_at.is_(None),
                _is_untold(event, Image.id, 0),
            )
            .order_by(Image.id)
            .limit(MOST_AT_ONCE)
        )
        found += [
            Message(
                row.id, event, row.image_id, 0, {"image_id": row.image_id, "status": str(status)}
            )
            for row in rows
        ]
    return found


def _ended_jobs(session: Session, since_ms: int) -> list[Message]:
    """Return the jobs that came to an end, each end once: a job that is retried ends again."""
    ended_ms = func.coalesce(Job.finished_at_ms, 0)
    rows = session.execute(
        select(Webhook.id, Job.id.label("job_id"), Job.kind, Job.state, ended_ms.label("ended_ms"))
        .join(Job, Job.owner_id == Webhook.user_id)
        .where(
            _wants(Event.JOB_ENDED),
            Job.changed_at_ms >= since_ms,
            Job.finished_at_ms >= Webhook.since_ms,
            Job.state.in_(ledger.FINAL),
            _is_untold(Event.JOB_ENDED, Job.id, ended_ms),
        )
        .order_by(Job.id)
        .limit(MOST_AT_ONCE)
    )
    return [
        Message(
            row.id,
            Event.JOB_ENDED,
            row.job_id,
            row.ended_ms,
            {"job_id": row.job_id, "kind": row.kind, "state": str(row.state)},
        )
        for row in rows
    ]


def _reached_budgets(session: Session, now: int) -> list[Message]:
    """Return whose work waits for another day's money, once a UTC day."""
    day = now // DAY_MS
    rows = session.execute(
        select(Webhook.id)
        .join(Job, Job.owner_id == Webhook.user_id)
        .where(
            _wants(Event.BUDGET_REACHED),
            Job.changed_at_ms >= day * DAY_MS,
            Job.changed_at_ms >= Webhook.since_ms,
            Job.error_code == "budget_reached",
            Job.state == JobState.QUEUED,
            _is_untold(Event.BUDGET_REACHED, 0, day),
        )
        .distinct()
        .limit(MOST_AT_ONCE)
    ).scalars()
    name = datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()
    return [Message(each, Event.BUDGET_REACHED, 0, day, {"day": name}) for each in rows]


def _wants(event: Event) -> ColumnElement[bool]:
    # No event's name is part of another's.
    return and_(Webhook.is_enabled == true(), Webhook.events.contains(event.value))


def _is_untold(event: Event, subject_id: Any, moment: Any) -> ColumnElement[bool]:
    return ~exists().where(
        WebhookDelivery.webhook_id == Webhook.id,
        WebhookDelivery.event == event,
        WebhookDelivery.subject_id == subject_id,
        WebhookDelivery.moment == moment,
    )
