"""The statements behind pages, on SQLite and on MariaDB: numbers of jobs and images, days, changes."""

from __future__ import annotations

from datetime import date
from typing import cast

from sqlalchemy import update

from mirada.db import index_days
from mirada.db.models import Content, Image, Job, JobState, Space
from mirada.db.session import Database, now_ms
from mirada.embedding.job import queue_embedding
from mirada.events.feed import Feed, Topic
from mirada.jobs import attempts
from mirada.jobs.summary import summarise
from mirada.language_model.series import By, Step, usage_series
from mirada.people import users
from mirada.people.identity import Person
from mirada.people.in_force import Credential, in_force
from mirada.pictures.stats import library_stats
from mirada.runtime import Runtime
from workers.kinds import KINDS


def user(database: Database) -> Person:
    with database.transaction() as session:
        return users.create_user(session, "ana", is_administrator=True)


def image(database: Database, owner_id: int) -> int:
    with database.transaction() as session:
        content = Content(
            sha256="a" * 64,
            storage_key="a",
            byte_size=70,
            format="PNG",
            width=1,
            height=1,
            is_animated=False,
        )
        session.add(content)
        session.flush()
        row = Image(owner_id=owner_id, content_id=content.id, is_public=True)
        session.add(row)
        session.flush()
        return row.id


def test_jobs_are_summed_up(database: Database) -> None:
    person = user(database)
    with database.transaction() as session:
        ids = [queue_embedding(session, n, None, owner_id=person.id).id for n in range(1, 5)]
    for job_id, ago_ms in zip(ids, (1_000, 120_000, 90_000_000), strict=False):
        with database.transaction() as session:
            session.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(state=JobState.DONE, finished_at_ms=now_ms() - ago_ms)
            )
    with database.reading() as session:
        found = summarise(session, person, KINDS)
    assert (found.queued, found.done_24h) == (1, 2)
    assert found.kinds[0].rate_per_s == 1 / 60


def test_images_and_calls_are_counted(database: Database) -> None:
    person = user(database)
    image(database, person.id)
    with database.reading() as session:
        one, all_of_them = (library_stats(session, each) for each in (person.id, None))
        calls = usage_series(
            session, None, date(2026, 1, 1), date(2026, 1, 2), step=Step.DAY, by=By.MODEL
        )
    assert one == all_of_them
    assert (one.images, one.public, one.bytes, len(one.by_month)) == (1, 1, 70, 1)
    assert (calls.calls, calls.cost_micros) == ({}, [0, 0])


def test_a_day_of_an_index_is_written_again_and_again(database: Database) -> None:
    with database.transaction() as session:
        space = Space(
            name="s", kind="image", encoder="e", pretrained="p", preprocessing="x", dimension=8
        )
        session.add(space)
        session.flush()
        space_id = space.id
    for size in (5, 5, 6):
        with database.transaction() as session:
            index_days.keep_size(session, space_id, size)
            index_days.add_measured(session, space_id, 1, 10, 9)
    with database.reading() as session:
        (day,) = index_days.days(session, space_id)
    assert (day.size, day.queries, day.recall) == (6, 3, 0.9)


def test_the_feed_finds_what_has_changed_once(database: Database) -> None:
    person = user(database)
    feed = Feed(cast("Runtime", database))
    credential = Credential(person.id, as_administrator=True)
    feed.join(credential, frozenset(Topic))
    start = feed.newest()

    def read() -> tuple[set[int], set[int]]:
        feed._read()
        tick = feed._last
        assert tick is not None
        return set(tick.jobs), set(tick.image_ids)

    image_id = image(database, person.id)
    with database.transaction() as session:
        job_id = queue_embedding(session, 1, None, owner_id=person.id).id
    assert read() == ({job_id}, {image_id})
    assert read() == (set(), set())
    with database.transaction() as session:
        attempts.claim(session, job_id)
    assert read() == ({job_id}, set())
    assert feed.is_in_force(credential)
    ticks = feed.since(start.number)
    assert ticks is not None
    assert [tick.number - start.number for tick in ticks] == [1, 2, 3]


def test_a_rank_that_was_lost_does_not_count(database: Database) -> None:
    person = user(database)
    with database.transaction() as session:
        other = users.create_user(session, "ben")
    right = Credential(person.id, as_administrator=True)
    wrong = Credential(other.id, as_administrator=True)
    with database.reading() as session:
        assert in_force(session, {right, wrong}) == {right}
