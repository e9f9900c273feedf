"""Links that sign a browser in once: made at the command line, for who has no key at hand."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.models import User, utc_now
from mirada.db.session import count_changed
from mirada.db.sign_in_models import SignInLink
from mirada.kernel.audit import Action, Actor, Via, acting
from mirada.kernel.commands import command_line
from mirada.kernel.errors import Conflict, NotFound
from mirada.people import keys
from mirada.people.identity import Key, Person, sha256_of

LIFETIME = timedelta(minutes=10)
TOKEN_BYTES = 32
"""As of a key: nobody guesses one of 2**256, so wrong ones are not counted."""
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")
KEY_NAME = "Signed in by a link"
NO_SUCH_LINK = (
    "This link signs nobody in: it was used, is older than ten minutes, or is not complete. Ask an "
    "administrator for a new one: " + command_line("users sign-in-link NAME")
)


def issue(session: Session, owner: Person) -> str:
    """Insert a link for a user, and return its token; links that have ended are deleted.

    Raises:
        Conflict: the owner is one of the host product's people, who have no keys and no sessions.
    """
    if owner.external_id is not None:
        raise Conflict("People of the host product call through it and do not sign in here.")
    now = utc_now()
    session.execute(delete(SignInLink).where(SignInLink.expires_at <= now))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    session.add(SignInLink(user_id=owner.id, sha256=sha256_of(token), expires_at=now + LIFETIME))
    audit.record(session, Action.LINK_MAKE, owner_id=owner.id)
    session.flush()
    return token


def owner_of(session: Session, token: str) -> Person:
    """Return whom a link would sign in, and use nothing up. Raises NotFound as `redeem` does."""
    return _found(session, token)[1]


def redeem(session: Session, token: str, *, until: datetime) -> Key:
    """Use a link up, and return a key of its owner's that ends then, for a session.

    The key itself is told to nobody; it stands in its owner's list and can be revoked.

    Args:
        session: a transaction.
        token: as the link has it.
        until: the end of the key.

    Raises:
        NotFound: no link has this token, or none any more. All are told the same.
    """
    link_id, owner = _found(session, token)
    # Of two that use it at once, one deletes it.
    if not count_changed(session, delete(SignInLink).where(SignInLink.id == link_id)):
        raise NotFound(NO_SUCH_LINK)
    with acting(Actor(Via.LINK, owner.id, owner.role)):
        audit.record(session, Action.LINK_USE, owner_id=owner.id)
        return keys.issue(session, owner, name=KEY_NAME, expires_at=until).row


def forget_all_of(session: Session, user_id: int) -> None:
    """Delete the links of a user."""
    session.execute(delete(SignInLink).where(SignInLink.user_id == user_id))


def _found(session: Session, token: str) -> tuple[int, Person]:
    sha256 = sha256_of(token) if TOKEN_PATTERN.fullmatch(token) else ""
    query = (
        select(SignInLink.id, User)
        .join(User, User.id == SignInLink.user_id)
        .where(
            SignInLink.sha256 == sha256,
            SignInLink.expires_at > utc_now(),
            User.ended_at.is_(None),
        )
    )
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound(NO_SUCH_LINK)
    link_id, owner = found
    return link_id, Person.of(owner)
