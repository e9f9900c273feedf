"""Replies to requests that make something, once for each Idempotency-Key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from mirada.jobs import ledger
from mirada.kernel.ids import MAX_IDEMPOTENCY_KEY_CHARS
from mirada.people.identity import Person
from webapp.http.current import current_runtime
from webapp.http.rest import header, request_header
from webapp.schemas.jobs import job_body
from webapp.schemas.texts import IN_A_HEADER
from workers.kinds import KINDS

Reply = tuple[dict[str, Any], int, dict[str, str]]
"""Body, status and headers."""


def once_parameters(promise: str) -> list[dict[str, Any]]:
    """Return the documentation of Idempotency-Key; `promise` says what one key does once."""
    told = f"Any text of yours; {promise}."
    return [
        request_header(
            "Idempotency-Key",
            told,
            minLength=1,
            maxLength=MAX_IDEMPOTENCY_KEY_CHARS,
            pattern=IN_A_HEADER,
        )
    ]


def made_headers(location: str, replayed: str) -> dict[str, Any]:
    """Return the documentation of the reply's headers.

    Args:
        location: what stands there.
        replayed: what the earlier request has done.
    """
    return {
        "Location": header(location),
        "Idempotent-Replayed": header(f"`true` when an earlier request {replayed}."),
    }


def idempotency_key() -> str | None:
    """Return the Idempotency-Key of the request being served, None without one."""
    return request.headers.get("Idempotency-Key")


def made(
    body: dict[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    was_replayed: bool,
    status: int = 201,
) -> Reply:
    """Return the reply to a request that made something.

    Args:
        body: with its `url`.
        headers: further ones.
        was_replayed: whether an earlier request with the same Idempotency-Key made it.
        status: 201, or what says that it was there before or is made later.
    """
    replayed = {"Idempotent-Replayed": "true"} if was_replayed else {}
    return body, status, {"Location": body["url"], **(headers or {}), **replayed}


def queued(job_id: int, kind: str, viewer: Person, *, was_replayed: bool = False) -> Reply:
    """Ring for a job that is committed, unless it was rung for before, and answer with the job."""
    runtime = current_runtime()
    if not was_replayed:
        runtime.doorbell.ring(job_id, kind)
    with runtime.reading() as session:
        body = job_body(ledger.get_job(session, job_id, viewer, KINDS))
    return made(body, was_replayed=was_replayed, status=202)
