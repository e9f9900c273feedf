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
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.kernel.ids import MAX_IDEMPOTENCY_KEY_CHARS

KEPT_FOR = timedelta(days=7)
"""Far beyond any client's retries; the IETF draft leaves it to the server to say."""


@dataclass(frozen=True, slots=True)
class Requested:
    """The job that a request queued, or that an earlier one with the same key had queued."""

    job_id: int
    was_replayed: bool = False


def fingerprint_of(sha256: str, fields: Mapping[str, object]) -> str:
    """Return 64 hex digits that differ when the picture or any field of the request differs."""
    canonical = json.dumps([sha256, dict(fields)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()


def checked_key(key: str) -> str:
    """Return the key. Raises InvalidInput when it is empty, too long or not printable ASCII."""
    if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not all(" " < char <= "~" for char in key):
        raise InvalidInput(
            f"Idempotency-Key takes 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters without "
            "spaces; a UUID does well."
        )
    return key


@dataclass(frozen=True, slots=True)
class Once:
    """A request whose work is done once, however often its owner sends it.

    Attributes:
        owner_id: whose key it is.
        key: as `checked_key` returns it; None for a request without one, which is always new.
        fingerprint: of the request, from `fingerprint_of`.
    """

    owner_id: int
    key: str | None
    fingerprint: str

    def earlier(self, session: Session) -> int | None:
        """Return the subject that the key's first request made, None when the request is new.

        Raises:
            InvalidInput: the key was used for another request.
        """
        if self.key is None:
            return None
        row = session.execute(
            select(IdempotencyKey.fingerprint, IdempotencyKey.subject_id).where(
                IdempotencyKey.owner_id == self.owner_id, IdempotencyKey.key == self.key
            )
        ).one_or_none()
        if row is None:
            return None
        if row.fingerprint != self.fingerprint:
            raise InvalidInput(
                "This Idempotency-Key was used for another request: its picture or its fields "
                "differed. Nothing was done; send a new key with a new request."
            )
        return int(row.subject_id)

    def keep(self, session: Session, subject_id: int) -> None:
        """Keep what the request made; keys of its owner older than KEPT_FOR are forgotten.

        Raises:
            Conflict: the same request used the key meanwhile. Raising undoes this one's work.
            InvalidInput: another request did.
        """
        if self.key is None:
            return
        session.execute(
            delete(IdempotencyKey)
            .where(
                IdempotencyKey.owner_id == self.owner_id,
                IdempotencyKey.created_at < utc_now() - KEPT_FOR,
            )
            .execution_options(synchronize_session=False)
        )
        try:
            with session.begin_nested():
                session.add(
                    IdempotencyKey(
                        owner_id=self.owner_id,
                        key=self.key,
                        fingerprint=self.fingerprint,
                        subject_id=subject_id,
                    )
                )
                session.flush()
        except IntegrityError as error:
            if self.earlier(session) is not None:
                raise Conflict(
                    "A request with this Idempotency-Key is being answered; ask again."
                ) from error


UNKEYED = Once(0, None, "")
"""A request without a key."""


def once(owner_id: int, key: str | None, kind: str, fields: Mapping[str, object]) -> Once:
    """Return a request's claim to be done once; nothing is read or written yet.

    Args:
        owner_id: who asks.
        key: the request's Idempotency-Key; None for none.
        kind: of what is made, or the picture's SHA-256: what was made under a key as one thing is
            never taken for another.
        fields: of the request, JSON values.

    Raises:
        InvalidInput: the key cannot be one.
    """
    checked = None if key is None else checked_key(key)
    return Once(owner_id, checked, fingerprint_of(kind, fields))
