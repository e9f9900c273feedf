"""Webhooks of a user: make, list, change and delete them, and give them new secrets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.idempotency import once
from mirada.db.models import Image, User, utc_now
from mirada.db.pages import newest_first
from mirada.db.session import count_changed, now_ms
from mirada.db.webhook_models import Webhook as Webhook
from mirada.kernel.audit import Action
from mirada.kernel.errors import AddressRefused, Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.kernel.user_text import checked_text
from mirada.outgoing.target import target_of
from mirada.webhooks.signing import new_secret

MOST = 20
"""Webhooks of one user."""
BOTH_SECRETS = timedelta(days=1)
"""So long messages are signed with the old secret as well."""


class Event(StrEnum):
    """What a webhook is told."""

    IMAGE_READY = "image.ready"
    IMAGE_FAILED = "image.failed"
    IMAGE_DELETED = "image.deleted"
    JOB_ENDED = "job.ended"
    BUDGET_REACHED = "budget.reached"


@dataclass(frozen=True, slots=True)
class Made:
    """A webhook that a request has made, or an earlier one with the same key."""

    hook: Webhook
    was_replayed: bool


class Ended(StrEnum):
    """Why a webhook was switched off by itself: its receiver said 410, or failed for days."""

    GONE = "gone"
    FAILING = "failing"


def make_webhook(
    session: Session,
    user_id: int,
    *,
    address: str,
    events: Collection[str],
    description: str | None = None,
) -> Webhook:
    """Insert a webhook that is told what happens from now on; its `secret` is shown this once.

    Raises:
        InvalidInput: the address, the events or the description cannot be used.
        Conflict: the user has MOST already.
    """
    # Two at once come one after the other, so that none is one too many.
    session.execute(select(User.id).where(User.id == user_id).with_for_update())
    count = select(func.count()).where(Webhook.user_id == user_id)
    if session.execute(count).scalar_one() >= MOST:
        raise Conflict(f"You have {MOST} webhooks, which is the most. Delete one first.")
    hook = Webhook(user_id=user_id, secret=new_secret())
    _write(hook, {"address": address, "events": events, "description": description})
    _begin(session, hook)
    session.add(hook)
    session.flush()
    audit.record(session, Action.WEBHOOK_MAKE, hook.id, owner_id=user_id)
    return hook


def make_webhook_once(
    session: Session,
    user_id: int,
    key: str | None,
    *,
    address: str,
    events: Collection[str],
    description: str | None = None,
) -> Made:
    """Insert a webhook as `make_webhook` does, once for a key that the request brings along.

    Raises:
        InvalidInput, Conflict: as for `make_webhook`; the key was used for another request, or the
            webhook that it made is gone.
    """
    fields = {"address": address, "events": sorted(events), "description": description}
    request = once(user_id, key, "make_webhook", fields)
    earlier = request.earlier(session)
    if earlier is not None:
        try:
            return Made(get_webhook(session, user_id, earlier), was_replayed=True)
        except NotFound as error:
            raise Conflict("The webhook that this form has made is gone. Make another.") from error
    hook = make_webhook(session, user_id, address=address, events=events, description=description)
    request.keep(session, hook.id)
    return Made(hook, was_replayed=False)


def change_webhook(
    session: Session, user_id: int, webhook_id: int, changes: Mapping[str, Any]
) -> Webhook:
    """Change address, events, description or is_enabled of a webhook, and return it.

    Switched on again it is told what happens from then on.

    Raises:
        NotFound: there is none of theirs.
        InvalidInput: as for `make_webhook`.
    """
    hook = get_webhook(session, user_id, webhook_id, for_update=True)
    _write(hook, changes)
    if "is_enabled" in changes and changes["is_enabled"] != hook.is_enabled:
        hook.is_enabled, hook.ended_reason, hook.failing_since = changes["is_enabled"], None, None
        if hook.is_enabled:
            _begin(session, hook)
    told = {"fields": " ".join(sorted(changes))}
    audit.record(session, Action.WEBHOOK_CHANGE, hook.id, owner_id=user_id, detail=told)
    session.flush()
    return hook


def new_secret_for(session: Session, user_id: int, webhook_id: int) -> Webhook:
    """Give a webhook another secret, shown this once; for a day the old one signs as well.

    Raises NotFound: there is none of theirs.
    """
    hook = get_webhook(session, user_id, webhook_id, for_update=True)
    hook.old_secret, hook.old_secret_until = hook.secret, utc_now() + BOTH_SECRETS
    hook.secret = new_secret()
    audit.record(session, Action.WEBHOOK_SECRET, hook.id, owner_id=user_id)
    session.flush()
    return hook


def delete_webhook(session: Session, user_id: int, webhook_id: int) -> None:
    """Delete a webhook with its log. Raises NotFound: there is none of theirs."""
    own = delete(Webhook).where(Webhook.id == in_range(webhook_id), Webhook.user_id == user_id)
    if not count_changed(session, own):
        raise _absent(webhook_id)
    audit.record(session, Action.WEBHOOK_DELETE, webhook_id, owner_id=user_id)


def forget_all_of(session: Session, user_id: int) -> None:
    """Delete all webhooks of somebody."""
    count_changed(session, delete(Webhook).where(Webhook.user_id == user_id))


def get_webhook(
    session: Session, user_id: int, webhook_id: int, *, for_update: bool = False
) -> Webhook:
    """Return a webhook of a user. Raises NotFound: there is none of theirs."""
    query = select(Webhook).where(Webhook.id == in_range(webhook_id), Webhook.user_id == user_id)
    if for_update:
        query = query.with_for_update()
    hook = session.execute(query).scalar_one_or_none()
    if hook is None:
        raise _absent(webhook_id)
    return hook


def list_webhooks(
    session: Session, user_id: int, *, cursor: int | None = None, limit: int = MOST
) -> Sequence[Webhook]:
    """Return a user's webhooks, the newest first."""
    query = select(Webhook).where(Webhook.user_id == user_id)
    return session.execute(newest_first(query, Webhook.id, cursor, limit)).scalars().all()


def _begin(session: Session, hook: Webhook) -> None:
    """Have a webhook told what happens from now on."""
    newest = select(func.coalesce(func.max(Image.id), 0)).scalar_subquery()
    hook.since_ms, hook.after_image_id = session.execute(select(now_ms(), newest)).one()
    hook.noticed_ms = hook.since_ms


def _write(hook: Webhook, changes: Mapping[str, Any]) -> None:
    if "address" in changes:
        hook.address = _checked_address(changes["address"])
    if "events" in changes:
        hook.events = _checked_events(changes["events"])
    if "description" in changes:
        hook.description = checked_text("description", changes["description"])


def _checked_address(address: str) -> str:
    try:
        return target_of(address).url
    except AddressRefused as error:
        raise AddressRefused(error.detail, fields={"address": [error.detail]}) from error


def _checked_events(events: Collection[str]) -> str:
    known = [event.value for event in Event]
    unknown = sorted(set(events) - set(known))
    if unknown or not events:
        reason = f"Name at least one of {', '.join(known)}."
        raise InvalidInput(reason, fields={"events": [reason]})
    return " ".join(each for each in known if each in events)


def _absent(webhook_id: int) -> NotFound:
    return NotFound(f"There is no webhook {webhook_id}.")
