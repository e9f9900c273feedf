"""What a key lets its bearer do, for how long, and what they may hand on; knows no database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mirada.kernel.errors import InvalidInput, NotAllowed, ScopeMissing
from mirada.kernel.labels import normalised_name

LONGEST_LIFE = timedelta(days=3653)
"""Ten years. A date beyond it is a slip of the pen; a key that never expires has none."""
LONGEST_GRACE = timedelta(days=7)
"""How long two keys may stand for one after a rotation: a week is enough to roll anything out."""


class Scope(StrEnum):
    """A part of what a key's owner may do. A key that names none may do all of it.

    read: every GET, and the POSTs that only ask: searches and embeddings.
    write: every other call: uploads, changes, deletions, feedback, classifications (which are
        remembered), and the owner's own keys. It does not include read.
    admin: together with read or write, what only an administrator may; without it an
        administrator's key does what any user's does.
    metrics: the metrics of the whole installation, and nothing else.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    METRICS = "metrics"


class KeyState(StrEnum):
    """Whether a key counts now."""

    IN_FORCE = "in_force"
    EXPIRED = "expired"
    REVOKED = "revoked"


Scopes = frozenset[Scope]
_OF_EVERYBODY: Scopes = frozenset({Scope.READ, Scope.WRITE})


def checked_scopes(names: Iterable[str] | None) -> Scopes | None:
    """Return the scopes so named; None, for all that the owner may, stays None.

    Raises:
        InvalidInput: none is named, one is unknown, or admin stands without read and write.
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
    if Scope.ADMIN in scopes and not scopes & _OF_EVERYBODY:
        raise _wrong("scopes", "The scope admin needs read or write beside it.")
    return scopes


def scopes_from_text(text: str | None) -> Scopes | None:
    """Return what a key's row says; a word that this version does not know allows nothing."""
    if text is None:
        return None
    return frozenset(scope for scope in Scope if scope.value in text.split())


def scopes_to_text(scopes: Scopes | None) -> str | None:
    """Return what to write into a key's row: the names in their order, separated by blanks."""
    return None if scopes is None else " ".join(scope for scope in Scope if scope in scopes)


def checked_key_name(text: object) -> str | None:
    """Return what its owner calls a key; None for no name.

    Raises:
        InvalidInput: it is not a `normalised_name`: empty, above 100 characters, or with control
            characters.
    """
    if text is None:
        return None
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise _wrong("name", error.detail) from error


def checked_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """Return when a key ends; None for never.

    Raises:
        InvalidInput: the time has no zone, is not in the future, or is beyond LONGEST_LIFE.
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
    """Return whether a key counts. A rotated one is revoked at a later time, and counts until then."""
    if revoked_at is not None and revoked_at <= now:
        return KeyState.REVOKED
    if expires_at is not None and expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.IN_FORCE


def ends_at(expires_at: datetime | None, revoked_at: datetime | None) -> datetime | None:
    """Return from when on a key counts no more; None for never."""
    return min((end for end in (expires_at, revoked_at) if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Authority:
    """What somebody may do now, and with it the most that a key made by them can do.

    Attributes:
        is_administrator: whether they act as one; a scoped key without admin does not.
        scopes: of the key they call with; None: all that their role allows.
        until: when that key ends; None for never.
    """

    is_administrator: bool
    scopes: Scopes | None = None
    until: datetime | None = None

    def refuse_more(self, scopes: Scopes | None, until: datetime | None) -> None:
        """Check what a new key is to do.

        Args:
            scopes: None for all that its owner may.
            until: None for never.

        Raises:
            ScopeMissing: the calling key is limited and this one would do more.
            NotAllowed: only an administrator hands that scope out, or the key would outlive the
                one that makes it.
        """
        if self.scopes is not None:
            missing = (frozenset(Scope) if scopes is None else scopes) - self.scopes
            if missing:
                raise ScopeMissing(
                    f"This key is limited to {_listed(self.scopes)} and cannot make one that does "
                    "more: name scopes of those.",
                    scopes=sorted(missing),
                )
        elif not self.is_administrator and scopes is not None and scopes - _OF_EVERYBODY:
            beyond = _listed(scopes - _OF_EVERYBODY)
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
