"""API keys: issue, list, rotate and revoke them. `identity` recognises them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.models import ApiKey, Role, utc_now
from mirada.db.pages import newest_first
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import in_range
from mirada.people.access import (
    LONGEST_GRACE,
    KeyState,
    Scope,
    Scopes,
    checked_expiry,
    checked_key_name,
    key_state,
    scopes_from_text,
    scopes_to_text,
)
from mirada.people.askers import COMMAND_LINE as COMMAND_LINE
from mirada.people.askers import Asker as Asker
from mirada.people.identity import Key, Person, sha256_of

KEY_BYTES = 32
"""CONTRACT, Who is calling: 32 random bytes. Nobody can guess one of 2**256, so a fast hash is enough, and
wrong keys are not counted."""
PREFIX_CHARS = 12
"""The readable beginning of a key, "mrd_" and 8 digits, that is stored and may be shown."""
LEAST_PREFIX_CHARS = 8
"""Fewest characters that name a key to revoke; chosen here: fewer could name many."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was issued.

    Attributes:
        row: the stored part of it.
        key: the key itself, shown only once; None when an earlier request made it.
    """

    row: Key
    key: str | None

    @property
    def was_replayed(self) -> bool:
        """Whether an earlier request with the same Idempotency-Key made it."""
        return self.key is None


def issue(
    session: Session,
    owner: Person,
    *,
    name: str | None = None,
    scopes: Scopes | None = None,
    expires_at: datetime | None = None,
    asker: Asker = COMMAND_LINE,
) -> NewKey:
    """Insert a new key of a user, and return it.

    Args:
        session: a transaction.
        owner: the owner of the key.
        name: the owner's name for it; None for no name.
        scopes: the rights of the key; None for all rights of its owner.
        expires_at: end of its validity; None for never.
        asker: the caller that asks for it.

    Raises:
        InvalidInput: name, scopes or expiry are wrong, or the Idempotency-Key is another request's.
        NotAllowed, ScopeMissing: it would have more rights than the asker.
        Conflict: a request with that Idempotency-Key is being answered, or the owner is one of the
            host product's people.
    """
    if owner.external_id is not None:
        raise Conflict("People of the host product call through it and have no keys of their own.")
    name, expires_at = checked_key_name(name), checked_expiry(expires_at, utc_now())
    asker.refuse_more(scopes, expires_at)
    if scopes is not None and Scope.ADMIN in scopes and owner.role != Role.ADMINISTRATOR:
        reason = f"{owner.username} is no administrator, so the scope admin would give nothing."
        raise InvalidInput(reason, fields={"scopes": [reason]})
    kept_scopes = scopes_to_text(scopes)
    fields = {
        "owner": owner.id,
        "name": name,
        "scopes": kept_scopes,
        "expires_at": None if expires_at is None else expires_at.timestamp(),
    }
    request = asker.once("issue_key", fields)
    earlier = request.earlier(session)
    if earlier is not None:
        return _replayed(session, earlier)
    new = _inserted(session, owner.id, name, kept_scopes, expires_at)
    _tell(session, Action.KEY_MAKE, new.row)
    request.keep(session, new.row.id)
    return new


def list_keys(
    session: Session, owner_id: int, *, cursor: int | None = None, limit: int = 50
) -> list[Key]:
    """Return at most `limit` keys of a user, newest first, with those that are no longer valid."""
    query = select(ApiKey).where(ApiKey.user_id == owner_id)
    rows = session.execute(newest_first(query, ApiKey.id, cursor, limit)).scalars()
    return [Key.of(row) for row in rows]


def get_key(session: Session, owner_id: int, key_id: int) -> Key:
    """Return a user's key by id. Raises NotFound when the user has no such key."""
    key = session.get(ApiKey, in_range(key_id))
    if key is None or key.user_id != owner_id:
        raise _no_such_key(key_id)
    return Key.of(key)


def rotate(
    session: Session,
    owner_id: int,
    key_id: int,
    *,
    grace: timedelta = timedelta(0),
    asker: Asker = COMMAND_LINE,
) -> NewKey:
    """Replace a key by a new one with the same name, scopes and length of validity.

    Args:
        session: a transaction.
        owner_id: id of the key's owner.
        key_id: the key to replace.
        grace: time that the old key stays valid, up to LONGEST_GRACE; zero revokes it at once.
        asker: the caller; a key may always replace itself.

    Raises:
        NotFound: the user has no such key.
        Conflict: the key is no longer valid, or was rotated before.
        InvalidInput: the grace period is negative or too long.
        NotAllowed, ScopeMissing: the new key would have more rights than the asker.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        reason = f"The grace period is 0 to {LONGEST_GRACE.total_seconds():.0f} seconds."
        raise InvalidInput(reason, fields={"grace_s": [reason]})
    old = _locked(session, owner_id, key_id)
    request = asker.once("rotate_key", {"key": old.id, "grace_s": grace.total_seconds()})
    earlier = request.earlier(session)
    if earlier is not None:
        return _replayed(session, earlier)
    now = utc_now()
    _refuse_void(old, now)
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    if asker.key_id != old.id:
        asker.refuse_more(scopes_from_text(old.scopes), expires_at)
    old.revoked_at = now + grace
    new = _inserted(session, owner_id, old.name, old.scopes, expires_at)
    _tell(session, Action.KEY_REPLACE, Key.of(old))
    _tell(session, Action.KEY_MAKE, new.row)
    request.keep(session, new.row.id)
    return new


def revoke(session: Session, owner_id: int, key_id: int) -> Key:
    """Revoke a user's key now; a revoked key stays as it is.

    Raises:
        NotFound: the user has no such key.
    """
    key, now = _locked(session, owner_id, key_id), utc_now()
    if key.revoked_at is None or key.revoked_at > now:
        key.revoked_at = now
        _tell(session, Action.KEY_REVOKE, Key.of(key))
        session.flush()
    return Key.of(key)


def key_beginning_with(session: Session, beginning: str) -> Key:
    """Return the one valid key with this beginning.

    Args:
        session: for reading.
        beginning: the key's first 8 to 12 characters, or the whole key.

    Raises:
        InvalidInput: it has fewer than 8 characters, or several valid keys begin with it.
        NotFound: no valid key begins with it.
    """
    absent = NotFound(f"No key in force begins with '{beginning[:PREFIX_CHARS]}'.")
    if not beginning.isascii():
        raise absent
    if len(beginning) < LEAST_PREFIX_CHARS:
        raise InvalidInput(
            f"'{beginning}' is too short: give the key's first {PREFIX_CHARS} characters, or at "
            f"least {LEAST_PREFIX_CHARS}."
        )
    now = utc_now()
    query = select(ApiKey).where(
        ApiKey.prefix.startswith(beginning[:PREFIX_CHARS], autoescape=True),
        or_(ApiKey.revoked_at.is_(None), ApiKey.revoked_at > now),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
    )
    if len(beginning) > PREFIX_CHARS:
        query = query.where(ApiKey.sha256 == sha256_of(beginning))
    keys = session.execute(query.order_by(ApiKey.prefix)).scalars().all()
    if not keys:
        raise absent
    if len(keys) > 1:
        prefixes = ", ".join(key.prefix for key in keys)
        raise InvalidInput(f"{len(keys)} keys begin with '{beginning}': {prefixes}.")
    return Key.of(keys[0])


def _inserted(
    session: Session,
    owner_id: int,
    name: str | None,
    scopes: str | None,
    expires_at: datetime | None,
) -> NewKey:
    prefix = f"mrd_{secrets.token_hex(4)}"
    key = f"{prefix}_{secrets.token_urlsafe(KEY_BYTES)}"
    row = ApiKey(
        user_id=owner_id,
        prefix=prefix,
        sha256=sha256_of(key),
        name=name,
        scopes=scopes,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return NewKey(Key.of(row), key)


def _tell(session: Session, action: Action, key: Key) -> None:
    told = {"prefix": key.prefix, "scopes": key.scopes}
    audit.record(session, action, key.id, owner_id=key.user_id, detail=told)


def _replayed(session: Session, key_id: int) -> NewKey:
    row = session.get(ApiKey, key_id)
    if row is None:
        raise Conflict("The key of this Idempotency-Key is gone. Send a new one to make another.")
    return NewKey(Key.of(row), None)


def _locked(session: Session, owner_id: int, key_id: int) -> ApiKey:
    key = session.execute(
        select(ApiKey)
        .where(ApiKey.id == in_range(key_id), ApiKey.user_id == owner_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if key is None:
        raise _no_such_key(key_id)
    return key


def _no_such_key(key_id: int) -> NotFound:
    return NotFound(f"There is no key {key_id}.")


def _refuse_void(key: ApiKey, now: datetime) -> None:
    state = key_state(key.expires_at, key.revoked_at, now)
    if state is not KeyState.IN_FORCE:
        raise Conflict(f"The key {key.prefix} is {state.value}; issue a new one instead.")
    if key.revoked_at is not None:
        raise Conflict(
            f"The key {key.prefix} was rotated already and ends at "
            f"{key.revoked_at.isoformat(timespec='seconds')}; use the key that replaced it."
        )
