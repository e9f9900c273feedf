"""Idempotency-Key: a POST sent twice with the same key does its work once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db.models import IdempotencyKey, utc_now
from mirada.kernel.errors import InvalidInput

MAX_KEY_CHARS = 191
"""The column's length: what MySQL indexes in utf8mb4 on every version."""
KEPT_FOR = timedelta(days=7)
"""Far beyond any client's retries; the IETF draft leaves it to the server to say."""


@dataclass(frozen=True, slots=True)
class Requested:
    """The job that a request queued, or that an earlier one with the same key had queued."""

    job_id: int
    was_replayed: bool = False


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request's Idempotency-Key, and `fingerprint_of` what it asks for."""

    key: str
    fingerprint: str


def fingerprint_of(sha256: str, fields: Mapping[str, object]) -> str:
    """Return 64 hex digits that differ when the picture or any field of the request differs."""
    canonical = json.dumps([sha256, dict(fields)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()


def checked_key(key: str) -> str:
    """Return the key. Raises InvalidInput when it is empty, too long or not printable ASCII."""
    if not 0 < len(key) <= MAX_KEY_CHARS or not all(" " < char <= "~" for char in key):
        raise InvalidInput(
            f"Idempotency-Key takes 1 to {MAX_KEY_CHARS} printable ASCII characters without "
            "spaces; a UUID does well."
        )
    return key


def find_replay(session: Session, owner_id: int, key: str, fingerprint: str) -> int | None:
    """Return the subject that this key's first request made, None when the key is new.

    Raises:
        InvalidInput: the key was used for another request.
    """
    row = session.execute(
        select(IdempotencyKey.fingerprint, IdempotencyKey.subject_id).where(
            IdempotencyKey.owner_id == owner_id, IdempotencyKey.key == key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise InvalidInput(
            "This Idempotency-Key was used for another request: its picture or its fields "
            "differed. Nothing was done; send a new key with a new request."
        )
    return int(row.subject_id)


def remember(
    session: Session, owner_id: int, key: str, fingerprint: str, subject_id: int
) -> int | None:
    """Keep what a key's request made; keys of this owner older than KEPT_FOR are forgotten.

    Returns:
        None when it was kept; else the subject of a request that used the key meanwhile, whose
        outcome stands. The caller undoes its own work then.

    Raises:
        InvalidInput: the other request was a different one.
    """
    session.execute(
        delete(IdempotencyKey)
        .where(
            IdempotencyKey.owner_id == owner_id,
            IdempotencyKey.created_at < utc_now() - KEPT_FOR,
        )
        .execution_options(synchronize_session=False)
    )
    try:
        with session.begin_nested():
            session.add(
                IdempotencyKey(
                    owner_id=owner_id, key=key, fingerprint=fingerprint, subject_id=subject_id
                )
            )
            session.flush()
    except IntegrityError:
        return find_replay(session, owner_id, key, fingerprint)
    return None
