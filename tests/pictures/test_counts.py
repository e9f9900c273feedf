"""The counts in an image's row are those of its rows, whatever happens at once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from mirada.db.contents import lock_content
from mirada.db.deadlocks import in_transaction
from mirada.db.memory_models import Comment, Like
from mirada.db.migrate import upgrade_to_head
from mirada.db.models import Image, User
from mirada.db.session import Database, make_engine
from mirada.embedding import embed
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import Conflict, NotFound
from mirada.kernel.ids import LARGEST_ID
from mirada.pictures import comments, images, likes
from mirada.pictures.image_lists import Place, Sort, list_images, neighbours
from testing.album import Album
from testing.patience import PATIENCE_S

PEOPLE = 8
TURNS = 40


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ],
)
def album(request: pytest.FixtureRequest) -> Iterator[Album]:
    """Three people and no image, on every engine."""
    if request.param != "postgresql":
        yield Album(request.getfixturevalue(f"{request.param}_database"))
        return
    database = Database(make_engine(make_url(request.getfixturevalue("postgresql_url")), 16))
    upgrade_to_head(database.engine)
    yield Album(database)
    database.close()


@pytest.mark.parametrize("sort", [Sort.LIKES, Sort.LARGEST])
def test_a_place_after_more_than_any_image_has_is_before_all_of_them(
    album: Album, sort: Sort
) -> None:
    image_id = album.image(album.ana)
    place = Place(LARGEST_ID, LARGEST_ID)
    with album.database.reading() as session:
        scope = Scope(Audience(album.ana))
        found = list_images(session, scope, sort=sort, after=place)
        assert [each.id for each in found] == [image_id]
        assert neighbours(session, scope, sort, Place(image_id, LARGEST_ID)) == (None, image_id)


def crowd(album: Album, act: Callable[[random.Random, int], None]) -> None:
    """Let PEOPLE act TURNS times each, all at once; whatever is raised fails the test."""
    with album.database.transaction() as session:
        people = [User(username=f"person-{n}") for n in range(PEOPLE)]
        session.add_all(people)
        session.flush()
        ids = [person.id for person in people]
    start = threading.Barrier(PEOPLE)

    def person(user_id: int) -> None:
        chance = random.Random(user_id)
        start.wait(timeout=PATIENCE_S)
        for _ in range(TURNS):
            act(chance, user_id)

    with ThreadPoolExecutor(PEOPLE) as threads:
        list(threads.map(person, ids))


class Visitors:
    """What a visitor does at random to a few images, and what it came to."""

    def __init__(self, album: Album, image_ids: list[int]) -> None:
        self.album = album
        self.image_ids = image_ids
        self.outcomes: Counter[str] = Counter()

    def act(self, chance: random.Random, user_id: int) -> None:
        image_id = chance.choice(self.image_ids)
        key = f"k{chance.randrange(30)}-{image_id}"
        author_id = (self.album.ana, self.album.bea)[user_id % 2]
        name, act = chance.choice(
            [
                ("like", lambda session: likes.like(session, image_id, user_id)),
                ("unlike", lambda session: likes.unlike(session, image_id, user_id)),
                ("write", lambda session: comments.write_comment(session, image_id, user_id, "x")),
                (
                    "write with a key",
                    lambda session: comments.write_comment(
                        session, image_id, author_id, key, idempotency_key=key
                    ),
                ),
                ("delete", lambda session: self._delete_newest(session, image_id)),
            ]
        )
        try:
            in_transaction(self.album.database, act)
        except NotFound:
            self.outcomes["not found"] += 1
        except Conflict:
            self.outcomes["deleted since"] += 1
        else:
            self.outcomes[name] += 1

    def _delete_newest(self, session: Session, image_id: int) -> None:
        # Several see the same one, of which one deletes it.
        newest = session.execute(
            select(func.max(Comment.id)).where(Comment.image_id == image_id)
        ).scalar_one()
        comments.delete_comment(
            session, image_id, newest or 0, self.album.ana, is_administrator=True
        )


def test_whatever_many_do_at_once_the_counts_are_those_of_the_rows(album: Album) -> None:
    image_ids = [album.image(album.ana), album.image(album.bea), album.image(album.bea, "b")]
    visitors = Visitors(album, image_ids)

    crowd(album, visitors.act)

    counted = [album.counts(image_id) for image_id in image_ids]
    assert min(min(counts) for counts in counted) >= 0
    assert sum(map(sum, counted)) > 0
    assert min(visitors.outcomes.values()) > 0
    assert len(visitors.outcomes) >= 5
    assert [album.row(image_id).version for image_id in image_ids] == [1, 1, 1]


def test_a_key_that_many_send_at_once_writes_one_comment(album: Album) -> None:
    image = album.image(album.ana)
    written: list[int] = []

    def write(_: random.Random, __: int) -> None:
        made = in_transaction(
            album.database,
            lambda session: comments.write_comment(
                session, image, album.bea, "x", idempotency_key="k"
            ),
        )
        written.append(made.comment.id)

    crowd(album, write)
    assert len(set(written)) == 1
    assert len(written) == PEOPLE * TURNS
    assert album.counts(image) == (0, 1)


def test_the_counts_hold_while_owner_and_worker_change_the_images(album: Album) -> None:
    image_ids = [album.image(album.ana), album.image(album.bea), album.image(album.bea, "b")]
    visitors = Visitors(album, image_ids)
    content_ids = [album.row(image_id).content_id for image_id in image_ids]
    is_over = threading.Event()

    def turn_over(turn: int) -> None:
        changes = {"is_public": turn % 2 == 0, "caption": f"{turn}"}
        for image_id, owner_id in zip(image_ids, (album.ana, album.bea, album.bea), strict=True):
            change = partial(
                images.change_image,
                image_id=image_id,
                owner_id=owner_id,
                expected_version=None,
                changes=changes,
            )
            in_transaction(album.database, change)

    def owners() -> int:
        turns = 0
        while turns < 2 or not is_over.is_set():
            turn_over(turns)
            turns += 1
        return turns

    def worker() -> None:
        def fail_and_await(session: Session, content_id: int) -> None:
            lock_content(session, content_id)
            embed.fail_images(session, content_id, "for now")
            embed.await_images(session, content_id)

        while not is_over.is_set():
            for content_id in content_ids:
                work = partial(fail_and_await, content_id=content_id)
                in_transaction(album.database, work)

    with ThreadPoolExecutor(2) as others:
        changing, working = others.submit(owners), others.submit(worker)
        try:
            crowd(album, visitors.act)
        finally:
            is_over.set()
        turns = changing.result(timeout=PATIENCE_S)
        working.result(timeout=PATIENCE_S)

    for image_id in image_ids:
        album.counts(image_id)
        assert album.row(image_id).version == 1 + turns


def test_an_image_deleted_under_its_visitors_takes_everything_along(album: Album) -> None:
    deleted = [album.image(album.ana), album.image(album.ana, "b")]
    kept = album.image(album.bea)
    visitors = Visitors(album, [*deleted, kept])
    turn = threading.Lock()
    turns = 0

    def act(chance: random.Random, user_id: int) -> None:
        nonlocal turns
        with turn:
            turns += 1
            doomed = {80: deleted[:1], 160: deleted[1:]}.get(turns, [])
        for image_id in doomed:
            removal = partial(
                images.delete_image, image_id=image_id, owner_id=album.ana, expected_version=None
            )
            in_transaction(album.database, removal)
        visitors.act(chance, user_id)

    crowd(album, act)

    assert visitors.outcomes["not found"] > 0
    album.counts(kept)
    with album.database.reading() as session:
        assert session.execute(select(Image.id)).scalars().all() == [kept]
        for table in (Like, Comment):
            rows: Any = session.execute(select(table.image_id).distinct()).scalars().all()
            assert set(rows) <= {kept}
