"""The job that sends one message to one webhook, until it is taken or given up."""

from __future__ import annotations

import json
import time
from typing import Any

from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules, TimeLimit
from mirada.jobs.waiting import slot_of
from mirada.kernel.errors import AddressRefused, CallFailed, UnfitAnswer
from mirada.kernel.reach import Named
from mirada.outgoing.calling import Caller, Limits
from mirada.outgoing.connecting import Rules
from mirada.runtime import Runtime
from mirada.webhooks import deliveries
from mirada.webhooks.deliveries import Outcome, Sending
from mirada.webhooks.hooks import Event
from mirada.webhooks.signing import signed_headers
from mirada.webhooks.telling import DELIVER_WEBHOOK

LIMITS = Limits(total_s=15.0, idle_s=10.0, max_bytes=64 * 1024)
"""Receivers are to answer at once and work afterwards."""
THREADS_PER_DELIVERY = 4
"""A receiver that hangs holds a thread; most of a process's threads stay free."""


def caller_of(runtime: Runtime) -> Caller:
    """Return what calls receivers in this process, within the operator's settings."""
    named = Named.read(runtime.settings.webhook_hosts)
    return runtime.remembered("webhook_caller", lambda: Caller(Rules(named=named), LIMITS))


def deliver(runtime: Runtime, attempt: Attempt) -> None:
    """Send a message once. Raises CallFailed where it is to be sent again."""
    delivery_id = attempt.job.subject_id
    with slot_of(runtime, DELIVER_WEBHOOK, THREADS_PER_DELIVERY) as slot:
        slot.take()
        with runtime.transaction() as session:
            sending = deliveries.to_send(session, delivery_id)
        outcome = None if sending is None else _sent(runtime, sending)
    attempt.check()
    with runtime.transaction() as session:
        if outcome is None or deliveries.record(session, delivery_id, outcome):
            attempts.finish(session, attempt.job.id, attempt.token)
            return
    raise CallFailed(outcome.error or "The receiver did not take it.")


def _sent(runtime: Runtime, sending: Sending) -> Outcome:
    began = time.monotonic()
    status: int | None = None
    error: str | None = None
    is_hopeless = False
    body = body_of(sending, runtime.settings.script_name or "")
    headers = {
        "Content-Type": "application/json",
        **signed_headers(sending.message_id, int(time.time()), body, sending.signers),
    }
    try:
        with caller_of(runtime).post(sending.address, body, headers) as answer:
            status = answer.status
        if not 200 <= status < 300:
            error = f"The receiver answered with status {status}."
    except (AddressRefused, UnfitAnswer) as refused:
        error, is_hopeless = refused.detail, True
    except CallFailed as failed:
        error = failed.detail
    return Outcome(status, error, int((time.monotonic() - began) * 1000), is_hopeless)


def body_of(sending: Sending, root: str) -> bytes:
    """Return a message as JSON: `type`, `timestamp` and `data`, with addresses of what it is about.

    Args:
        sending: the message.
        root: path below which Mirada is served, "" for none.
    """
    data: dict[str, Any] = dict(sending.data)
    if "job_id" in data:
        data["url"] = f"{root}/api/v1/jobs/{data['job_id']}"
    elif "image_id" in data and sending.event != Event.IMAGE_DELETED:
        data["url"] = f"{root}/api/v1/images/{data['image_id']}"
    message = {"type": sending.event, "timestamp": sending.at.isoformat(), "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


KIND = Kind(
    DELIVER_WEBHOOK,
    deliver,
    # Seconds at first, four hours at last; given up after about 22 hours.
    RetryPolicy(max_attempts=16, first_delay_s=10.0, max_delay_s=4 * 3600.0),
    TimeLimit(soft_s=60, hard_s=180),
    SubjectRules(give_up=deliveries.give_up, retry=deliveries.wait_again),
    title="Tell a webhook",
)
