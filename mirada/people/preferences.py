"""How a user likes the pages: language, theme and size of the pictures, the same in every browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import User
from mirada.kernel.errors import InvalidInput
from mirada.people.users import no_such_user

CHOICES: Mapping[str, tuple[str, ...]] = {
    "locale": ("en", "pt", "es"),
    "theme": ("system", "light", "dark"),
    "density": ("normal", "compact", "large"),
}
"""What each may be; None as well, for nothing chosen."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """The choices of a user; None for what they have not chosen."""

    locale: str | None = None
    theme: str | None = None
    density: str | None = None


NOTHING_CHOSEN = Preferences()
_COLUMNS = tuple(getattr(User, field.name) for field in fields(Preferences))


def preferences_of(session: Session, user_id: int) -> Preferences:
    """Return what a user has chosen; nothing for one who is not there."""
    row = session.execute(select(*_COLUMNS).where(User.id == user_id)).one_or_none()
    return NOTHING_CHOSEN if row is None else Preferences(*row)


def change_preferences(
    session: Session, user_id: int, wanted: Mapping[str, str | None]
) -> Preferences:
    """Keep what a user has chosen, and return all that they have.

    Args:
        session: a transaction.
        user_id: whose.
        wanted: by the names of CHOICES; what is left out stays, None takes it back.

    Raises:
        InvalidInput: there is no such choice.
        NotFound: there is no such user.
    """
    for name, value in wanted.items():
        if value is not None and value not in CHOICES[name]:
            reason = f"It is one of {', '.join(CHOICES[name])}, or null for nothing chosen."
            raise InvalidInput(f"{name} is {value[:50]!r}. {reason}", fields={name: [reason]})
    row = session.get(User, user_id)
    if row is None or row.ended_at is not None:
        raise no_such_user(user_id)
    kept = replace(Preferences(row.locale, row.theme, row.density), **wanted)
    for name, value in asdict(kept).items():
        setattr(row, name, value)
    session.flush()
    return kept
