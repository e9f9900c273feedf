"""Imported images, found by what their old system calls them; numbers of ours stay clear of theirs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func, or_, select, text
from sqlalchemy.orm import Session

from mirada.db.models import Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from mirada.kernel.external_ids import CAPTIONED_POSTS, MAX_EXTERNAL_ID_CHARACTERS, number_of


def image_known_as(session: Session, called: str, audience: Audience, source: str) -> int:
    """Return our id of the image that a client of an old system calls so.

    An imported image is known by its old id alone, any other by ours. Where several sources have
    images of one id, the route's own comes first, then the one that was imported first.

    Args:
        session: for reading.
        called: from a path; a number or not.
        audience: who asks; what they may not see does not exist.
        source: whose clients use the route.

    Raises:
        NotFound: there is none that this audience may see.
    """
    absent = NotFound(f"There is no image {called[:100]}, or it is not yours to see.")
    found = _first(session, Image.external_id, called, audience, source)
    if found is not None:
        return found
    own_id = number_of(called)
    if own_id is None:
        raise absent
    own = select(Image.id).where(Image.id == own_id, Image.external_id.is_(None), may_see(audience))
    if session.execute(own).first() is None:
        raise absent
    return own_id


def image_at_name(session: Session, name: str, audience: Audience, source: str) -> int | None:
    """Return our id of the image whose file an old system served under this name; None for none.

    Arguments are as `image_known_as` takes them.
    """
    return _first(session, Image.external_name, name, audience, source)


def post_known_as(session: Session, called: str, audience: Audience) -> int | None:
    """Return our id of the captioned post that clients of its system call so; None for none."""
    return _first(session, Image.external_id, called, audience, CAPTIONED_POSTS, is_only=True)


def _first(
    session: Session,
    column: Any,
    called: str,
    audience: Audience,
    source: str,
    *,
    is_only: bool = False,
) -> int | None:
    # MySQL takes no account of blanks at the end.
    if len(called) > MAX_EXTERNAL_ID_CHARACTERS or "\x00" in called or called != called.strip():
        return None
    # A source may have a name behind its kind: "image-search:shop".
    is_of_route = or_(
        Image.external_source == source, Image.external_source.startswith(f"{source}:")
    )
    query = select(Image.id).where(column == called, may_see(audience))
    query = query.where(is_of_route) if is_only else query
    ordered = query.order_by(case((is_of_route, 0), else_=1), Image.id).limit(1)
    return session.execute(ordered).scalar_one_or_none()


def keep_clear(session: Session, number: int) -> None:
    """Give no image from now on an id up to this number: clients take old ids and ours in one place.

    On MySQL it ends the transaction, as every change of a table does there.
    """
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        name = {"name": Image.__tablename__, "number": number}
        session.execute(
            text(
                "INSERT INTO sqlite_sequence (name, seq) SELECT :name, 0 "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :name)"
            ),
            name,
        )
        session.execute(
            text("UPDATE sqlite_sequence SET seq = :number WHERE name = :name AND seq < :number"),
            name,
        )
    elif dialect == "postgresql":
        # An imported image may itself have taken a higher one.
        highest = select(func.coalesce(func.max(Image.id), 1)).scalar_subquery()
        sequence = func.pg_get_serial_sequence(Image.__tablename__, "id")
        session.execute(select(func.setval(sequence, func.greatest(number, highest))))
    else:
        # A lower number than that of a row there is leaves the counter where it is.
        session.execute(text(f"ALTER TABLE {Image.__tablename__} AUTO_INCREMENT = {number + 1}"))
