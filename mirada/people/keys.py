"""API keys: issue, list, rotate and revoke them. Who calls with one is for `recognise` to say."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from mirada.db.idempotency import Once, once
from mirada.db.models import ApiKey, Role, utc_now
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.ids import LARGEST_ID
from mirada.people import access
from mirada.people.access import Authority, KeyState, Scope, Scopes
from mirada.people.identity import Key, Person
from mirada.people.key_lookup import sha256_of

KEY_BYTES = 32
"""CONTRACT, Who is calling: 32 random bytes. Nobody guesses one of 2**256, so a fast hash is right
and wrong keys are not counted."""
PREFIX_CHARS = 12
"""The readable beginning of a key, "mrd_" and 8 digits, that is stored and may be shown."""
LEAST_PREFIX_CHARS = 8
"""Fewer characters of a key say too little to revoke by."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was issued.

    Attributes:
        row: what is kept of it.
        key: to be shown now or never; None when an earlier request made it.
    """

    row: Key
    key: str | None

    @property
    def was_replayed(self) -> bool:
        """Whether an earlier request with the same Idempotency-Key made it."""
        return self.key is None


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a key.

    Attributes:
        user_id: whose `idempotency_key` it is.
        authority: the most that the key may be; None for the command line, which has no limits.
        key_id: the key they call with; None without one.
        idempotency_key: the request's; one makes one key, shown in the first reply only.
    """

    user_id: int = 0
    authority: Authority | None = None
    key_id: int | None = None
    idempotency_key: str | None = None

    def refuse_more(self, scopes: Scopes | None, until: datetime | None) -> None:
        """Check what a new key is to do; see `Authority.refuse_more`."""
        if self.authority is not None:
            self.authority.refuse_more(scopes, until)

    def once(self, kind: str, fields: Mapping[str, object]) -> Once:
        """Return the request's claim to be done once; see `idempotency.once`."""
        return once(self.user_id, self.idempotency_key, kind, fields)


COMMAND_LINE = Asker()


def issue(
    session: Session,
    owner: Person,
    *,
    name: str | None = None,
    scopes: Scopes | None = None,
    expires_at: datetime | None = None,
    asker: Asker = COMMAND_LINE,
) -> NewKey:
    """Make a key.

    Args:
        session: a transaction.
        owner: whose it will be.
        name: what its owner calls it.
        scopes: what it may do; None for all that its owner may.
        expires_at: when it ends; None for never.
        asker: who asks for it.

    Raises:
        InvalidInput: name, scopes or expiry make no sense, or the Idempotency-Key is another request's.
        NotAllowed, ScopeMissing: it would be more than the asker has.
        Conflict: a request with that Idempotency-Key is being answered.
    """
    name, expires_at = access.checked_key_name(name), access.checked_expiry(expires_at, utc_now())
    asker.refuse_more(scopes, expires_at)
    if scopes is not None and Scope.ADMIN in scopes and owner.role != Role.ADMINISTRATOR:
        reason = f"{owner.username} is no administrator, so the scope admin would give nothing."
        raise InvalidInput(reason, fields={"scopes": [reason]})
    kept_scopes = access.scopes_to_text(scopes)
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
    request.keep(session, new.row.id)
    return new


def list_keys(
    session: Session, owner_id: int, *, cursor: int | None = None, limit: int = 50
) -> list[Key]:
    """Return at most `limit` keys of a user, newest first, void ones included."""
    query = select(ApiKey).where(ApiKey.user_id == owner_id)
    if cursor is not None:
        query = query.where(ApiKey.id < min(cursor, LARGEST_ID))
    rows = session.execute(query.order_by(ApiKey.id.desc()).limit(limit)).scalars()
    return [Key.of(row) for row in rows]


def get_key(session: Session, owner_id: int, key_id: int) -> Key:
    """Return a user's key by id. Raises NotFound where that user has no such key."""
    key = session.get(ApiKey, key_id) if 0 < key_id <= LARGEST_ID else None
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
    """Put a new key in the place of another: the same name and scopes, and as long a life, from now.

    Args:
        session: a transaction.
        owner_id: whose key.
        key_id: the one to replace.
        grace: how long the old one goes on being valid, up to LONGEST_GRACE; zero voids it at once.
        asker: who asks; a key that replaces itself takes nothing more.

    Raises:
        NotFound: that user has no such key.
        Conflict: it is void already, or was rotated before.
        InvalidInput: the grace period is negative or too long.
        NotAllowed, ScopeMissing: the new one would be more than the asker has.
    """
    if not timedelta(0) <= grace <= access.LONGEST_GRACE:
        reason = f"The grace period is 0 to {access.LONGEST_GRACE.total_seconds():.0f} seconds."
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
        asker.refuse_more(access.scopes_from_text(old.scopes), expires_at)
    old.revoked_at = now + grace
    new = _inserted(session, owner_id, old.name, old.scopes, expires_at)
    request.keep(session, new.row.id)
    return new


def revoke(session: Session, owner_id: int, key_id: int) -> Key:
    """Void a user's key from now on; one that is void stays as it is.

    Raises:
        NotFound: that user has no such key.
    """
    key, now = _locked(session, owner_id, key_id), utc_now()
    if key.revoked_at is None or key.revoked_at > now:
        key.revoked_at = now
        session.flush()
    return Key.of(key)


def key_beginning_with(session: Session, beginning: str) -> Key:
    """Return the one key in force that begins so.

    Args:
        session: any.
        beginning: the key's first 8 to 12 characters; the whole key, pasted, will do as well.

    Raises:
        InvalidInput: fewer than 8 characters, or several keys in force begin so.
        NotFound: no key in force begins so.
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


def _replayed(session: Session, key_id: int) -> NewKey:
    row = session.get(ApiKey, key_id)
    if row is None:
        raise Conflict("The key of this Idempotency-Key is gone. Send a new one to make another.")
    return NewKey(Key.of(row), None)


def _locked(session: Session, owner_id: int, key_id: int) -> ApiKey:
    key = None
    if 0 < key_id <= LARGEST_ID:
        key = session.execute(
            select(ApiKey)
            .where(ApiKey.id == key_id, ApiKey.user_id == owner_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).scalar_one_or_none()
    if key is None:
        raise _no_such_key(key_id)
    return key


def _no_such_key(key_id: int) -> NotFound:
    return NotFound(f"There is no key {key_id}.")


def _refuse_void(key: ApiKey, now: datetime) -> None:
    state = access.key_state(key.expires_at, key.revoked_at, now)
    if state is not KeyState.IN_FORCE:
        raise Conflict(f"The key {key.prefix} is {state.value}; issue a new one instead.")
    if key.revoked_at is not None:
        raise Conflict(
            f"The key {key.prefix} was rotated already and ends at "
            f"{key.revoked_at.isoformat(timespec='seconds')}; use the key that replaced it."
        )
