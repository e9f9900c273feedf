"""The rules of API keys: scopes, expiry, and the limits of keys made with a key. No database is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mirada.kernel.commands import command_line
from mirada.kernel.errors import InvalidInput, NotAllowed, ScopeMissing
from mirada.kernel.labels import normalised_name

NEEDS_KEY = (
    "This call needs an API key: send it as 'Authorization: Bearer KEY'. "
    "An administrator makes one: " + command_line("users create NAME")
)
LONGEST_LIFE = timedelta(days=3653)
"""Ten years, chosen here: a later date is a mistake, since a key may also have no expiry."""
LONGEST_GRACE = timedelta(days=7)
"""Longest time that a rotated key stays valid beside the new one: a week, chosen here."""


class Scope(StrEnum):
    """A scope limits a key to a part of its owner's rights. A key without scopes has all of them.

    read: every GET, and the POSTs that change nothing: searches and embeddings.
    write: every other call: uploads, changes, deletions, feedback, classifications (which are
        remembered), and the owner's own keys. It does not include read.
    admin: together with read or write, the rights of an administrator; without it an
        administrator's key has the rights of any user's.
    metrics: the metrics of the whole installation, and nothing else.
    act_for: together with read or write, to do that as one of the host product's people, whom each
        call names. A key without scopes does not have it: it is given by name.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    METRICS = "metrics"
    ACT_FOR = "act_for"


class KeyState(StrEnum):
    """The validity of a key."""

    IN_FORCE = "in_force"
    EXPIRED = "expired"
    REVOKED = "revoked"


Scopes = frozenset[Scope]
OF_EVERYBODY: Scopes = frozenset({Scope.READ, Scope.WRITE})
"""What an ordinary user's key may have, and the most that is done for a person of the product."""


def checked_scopes(names: Iterable[str] | None) -> Scopes | None:
    """Return scopes by their names; None, for all rights of the owner, stays None.

    Raises:
        InvalidInput: there is no name, one is unknown, or admin or act_for is without read and
            write.
    """
    if names is None:
        return None
    named = set(names)
    known = {scope.value for scope in Scope}
    unknown = sorted(named - known)
    if unknown:
        raise _wrong("scopes", f"There is no scope {unknown[0][:50]!r}; take of {_listed(known)}.")
    scopes = frozenset(Scope(name) for name in named)
    if not scopes:
        raise _wrong(
            "scopes", "Name at least one scope, or leave scopes out for all that the owner may."
        )
    for scope in (Scope.ADMIN, Scope.ACT_FOR):
        if scope in scopes and not scopes & OF_EVERYBODY:
            raise _wrong("scopes", f"The scope {scope} needs read or write beside it.")
    return scopes


def scopes_from_text(text: str | None) -> Scopes | None:
    """Return the scopes in a key's row; a name that this version does not know gives no right."""
    if text is None:
        return None
    return frozenset(scope for scope in Scope if scope.value in text.split())


def scopes_to_text(scopes: Scopes | None) -> str | None:
    """Return scopes as the text of a key's row: names in their order, separated by blanks."""
    return None if scopes is None else " ".join(scope for scope in Scope if scope in scopes)


def checked_key_name(text: object) -> str | None:
    """Return the normalised name of a key; None for no name.

    Raises:
        InvalidInput: it is empty, longer than 100 characters, or has control characters; see
            `normalised_name`.
    """
    if text is None:
        return None
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise _wrong("name", error.detail) from error


def checked_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """Return the expiry of a key unchanged; None for never.

    Raises:
        InvalidInput: it has no time zone, is not in the future, or is beyond LONGEST_LIFE.
    """
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        raise _wrong("expires_at", "Say the time zone as well, such as 2030-01-31T12:00:00Z.")
    if expires_at <= now:
        raise _wrong("expires_at", "A key cannot expire in the past.")
    if expires_at > now + LONGEST_LIFE:
        raise _wrong(
            "expires_at", "That is more than ten years away; leave it out for a key without end."
        )
    return expires_at


def key_state(expires_at: datetime | None, revoked_at: datetime | None, now: datetime) -> KeyState:
    """Return the validity of a key at `now`; a rotated key is valid until its later `revoked_at`."""
    if revoked_at is not None and revoked_at <= now:
        return KeyState.REVOKED
    if expires_at is not None and expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.IN_FORCE


def ends_at(expires_at: datetime | None, revoked_at: datetime | None) -> datetime | None:
    """Return the end of a key's validity; None for never."""
    return min((end for end in (expires_at, revoked_at) if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Authority:
    """The rights of a caller, which are the most that a key made by them can have.

    Attributes:
        is_administrator: whether they act as an administrator; false with a key without admin.
        scopes: the scopes of the key they call with; None for all rights of their role.
        until: the end of that key's validity; None for never.
    """

    is_administrator: bool
    scopes: Scopes | None = None
    until: datetime | None = None

    def refuse_more(self, scopes: Scopes | None, until: datetime | None) -> None:
        """Check the rights of a new key against these.

        Args:
            scopes: the new key's scopes; None for all rights of its owner.
            until: the new key's end; None for never.

        Raises:
            ScopeMissing: the calling key is limited, and the new key would have more rights.
            NotAllowed: only an administrator may give that scope, or the new key would outlive
                the calling key.
        """
        if self.scopes is not None:
            missing = (frozenset(Scope) if scopes is None else scopes) - self.scopes
            if missing:
                raise ScopeMissing(
                    f"This call is limited to {_listed(self.scopes)} and cannot make a key that does "
                    "more: name scopes of those.",
                    scopes=sorted(missing),
                )
        elif not self.is_administrator and scopes is not None and scopes - OF_EVERYBODY:
            beyond = _listed(scopes - OF_EVERYBODY)
            raise NotAllowed(f"Only an administrator makes keys with {beyond}.")
        if self.until is not None and (until is None or until > self.until):
            raise NotAllowed(
                f"This key ends at {self.until.isoformat(timespec='seconds')}, and a key that it "
                "makes may not outlive it: name an earlier expires_at, or send a key that lasts."
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(scope for scope in Scope if scope in set(names))


def _wrong(field: str, reason: str) -> InvalidInput:
    return InvalidInput(reason, fields={field: [reason]})
