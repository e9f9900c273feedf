"""Images that a process of an older version took in while the tables were this version's already."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select
from sqlalchemy.engine import Row
from sqlalchemy.orm import Session

from mirada.db import older_rows
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Content, Image, User, utc_now
from mirada.db.session import Database
from mirada.db.word_models import WordWeight
from mirada.kernel.picture_tokens import is_token, new_token
from testing.registering import new_picture, register_image

OLD = ("owner_id", "content_id", "prompt", "is_public", "status", "version")
"""Columns that the first version wrote; the others get what the database gives them."""


def filled(database: Database, count: int) -> tuple[int, list[int]]:
    """Return an image of this version, and images as an older one inserts them."""
    with database.transaction() as session:
        owner = User(username="ana")
        session.add(owner)
        session.flush()
        new = register_image(session, new_picture("0" * 64), owner_id=owner.id, prompt="an okapi")
        content = session.execute(select(Content.id)).scalar_one()
        when = utc_now()
        values = (owner.id, content, "a quagga", False, "READY", 1)
        row = {**dict(zip(OLD, values, strict=True)), "created_at": when, "updated_at": when}
        # The model itself would give them a token.
        table = Image.__table__
        session.connection().execute(insert(table), [{**row, "picture_token": None}] * count)  # type: ignore[arg-type]
        ids = session.execute(select(Image.id).where(Image.picture_token.is_(None))).scalars().all()
        return new.image.id, sorted(ids)


def tokens(database: Database) -> dict[int, str | None]:
    with database.reading() as session:
        return dict(session.execute(select(Image.id, Image.picture_token)).all())


def told(database: Database, image_id: int) -> Row[int, object]:
    with database.reading() as session:
        query = select(Image.version, Image.updated_at).where(Image.id == image_id)
        return session.execute(query).one()


def test_they_get_addresses_and_words_and_are_not_changed_by_that(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_rows, "IMAGES_TOGETHER", 2)
    new, old = filled(database, 5)
    assert len(old) == 5
    before, as_edited = tokens(database), told(database, old[0])
    older_rows.complete(database)
    after = tokens(database)
    assert after[new] == before[new]
    assert len(set(after.values())) == 6
    assert all(is_token(token or "") for token in after.values())
    assert told(database, old[0]) == as_edited
    with database.reading() as session:
        written = session.execute(select(WordWeight.image_id).distinct()).scalars().all()
    assert sorted(written) == sorted([new, *old])
    older_rows.complete(database)
    assert tokens(database) == after


def test_a_start_looks_for_them_on_tables_that_are_up_to_date(sqlite_database: Database) -> None:
    """The one that migrated began while the older one still served; this one begins after its end."""
    _, (old,) = filled(sqlite_database, 1)
    upgrade_to_head(sqlite_database.engine)
    assert is_token(tokens(sqlite_database)[old] or "")


def test_an_address_that_came_with_a_change_meanwhile_is_kept(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an address that was just given out for another visibility would end at once."""
    _, (old,) = filled(sqlite_database, 1)
    made = new_token()

    def as_another_writes_first() -> str:
        sessions[-1].get_one(Image, old).picture_token = made
        sessions[-1].flush()
        return new_token()

    sessions: list[Session] = []
    real = older_rows._give_tokens

    def watched(session: Session) -> int:
        sessions.append(session)
        return real(session)

    monkeypatch.setattr(older_rows, "_give_tokens", watched)
    monkeypatch.setattr(older_rows, "new_token", as_another_writes_first)
    older_rows.complete(sqlite_database)
    assert tokens(sqlite_database)[old] == made
