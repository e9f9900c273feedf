"""After a backup was restored by hand nothing is given twice, and what was remembered elsewhere is void."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.models import ChangeCounter, Image, IndexSnapshot, Installation, Job, JobState
from mirada.db.session import now_ms
from mirada.health.restored import go_on_after_backup, is_in_use
from testing.console import run_command
from testing.worksite import Site
from workers import in_process
from workers.sweeper import Sweeper

LARGEST_IN_JAVASCRIPT = 2**53 - 1


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ]
)
def live(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Any:
    """A site on each database whose jobs are worked."""
    settings = {}
    if request.param == "mariadb":
        # A database of its own: its numbers are far above what other tests expect.
        settings = {"database_url": request.getfixturevalue("mariadb_url")}
    elif request.param == "postgresql":
        settings = {"database_url": request.getfixturevalue("postgresql_url")}
    site = make_site(**settings)
    stop = in_process.start(site.runtime)
    yield site
    stop()


def numbers(site: Site) -> tuple[int, int, int]:
    """Return the largest id of an image and of a job, and the change number."""
    with site.runtime.reading() as session:
        return (
            session.scalar(select(func.max(Image.id))) or 0,
            session.scalar(select(func.max(Job.id))) or 0,
            session.scalars(select(ChangeCounter.v)).one(),
        )


def epoch(site: Site) -> str:
    with site.runtime.reading() as session:
        return session.scalars(select(Installation.db_epoch)).one()


def test_ids_and_change_numbers_go_on_above_all_that_were_given(live: Site) -> None:
    live.upload(1)
    live.wait_for({"READY": 1})
    given, was = numbers(live), epoch(live)

    first = go_on_after_backup(live.runtime)
    live.upload(2)
    live.wait_for({"READY": 2})
    after_first = numbers(live)

    # The same backup again: what the first time has given may be remembered as well.
    second = go_on_after_backup(live.runtime)
    live.upload(3)
    live.wait_for({"READY": 3})
    after_second = numbers(live)

    for before, after in ((given, after_first), (after_first, after_second)):
        assert all(new > old for old, new in zip(before, after, strict=True))
    assert all(number > 10**12 for number in after_first)
    assert first.above < min(after_first)
    assert second.above < min(after_second)
    assert max(after_second) < LARGEST_IN_JAVASCRIPT / 100
    assert len({was, first.db_epoch, second.db_epoch}) == 3
    assert epoch(live) == second.db_epoch


def test_an_index_of_before_begins_afresh_and_misses_nothing(live: Site) -> None:
    live.upload(1)
    live.wait_for({"READY": 1})
    space_id, _ = live.runtime.space()
    index = live.runtime.index(space_id)
    index.refresh()

    go_on_after_backup(live.runtime)
    live.upload(2)
    live.wait_for({"READY": 2})
    index.refresh()

    assert index.status().live_count == 2
    assert index.status().snapshot is None
    with live.runtime.reading() as session:
        assert session.scalar(select(func.count()).select_from(IndexSnapshot)) == 0


def test_the_command_says_what_comes_next(live: Site) -> None:
    done = run_command(live.runtime, "restored", "--yes")

    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert epoch(live) in said
    assert "ids and change numbers are above" in said
    assert "doctor" in said


def test_the_command_asks_first(make_site: Callable[..., Site]) -> None:
    site = make_site()
    was = epoch(site)

    # Nobody answers here, which is no yes.
    asked = run_command(site.runtime, "restored")

    said = " ".join(asked.output.split())
    assert asked.exit_code == 1
    assert "gets a new identity" in said
    assert "Was it restored from a backup? [y/N]" in said
    assert epoch(site) == was


def test_the_command_refuses_beside_a_running_server(make_site: Callable[..., Site]) -> None:
    site = make_site()
    was = epoch(site)
    sweeper = Sweeper(site.runtime)
    sweeper.sweep()

    refused = run_command(site.runtime, "restored")

    assert refused.exit_code == 1
    assert "A server or a worker runs on this database" in refused.output
    assert epoch(site) == was
    sweeper.stop()
    assert "Was it restored" in run_command(site.runtime, "restored").output


def test_a_job_under_way_shows_a_running_worker(make_site: Callable[..., Site]) -> None:
    site = make_site()
    assert not is_in_use(site.runtime)
    site.upload(1)
    with site.runtime.transaction() as session:
        running = {Job.state: JobState.RUNNING, Job.lease_until_ms: now_ms() + 45_000}
        session.execute(update(Job).values(running))

    assert is_in_use(site.runtime)
