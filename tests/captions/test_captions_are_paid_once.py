"""Drills with real processes: a server in trouble, killed workers, used-up budgets.

`python -m tests.captions.test_captions_are_paid_once 500 100` runs the first one at full size with the
product's own waits, and says what came of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.captions.wording import caption_question, recipe_in_force
from mirada.captions.writing import CAPTION_IMAGE
from mirada.config import PROJECT_ROOT, Settings
from mirada.db.models import Image, Job
from mirada.db.spending_models import CallState, LanguageModelCall, SpendingDay
from mirada.kernel.prices import PriceTable
from mirada.language_model import spending
from mirada.language_model.spending import DAY_MS
from mirada.runtime import Runtime
from testing.captioned_site import COST, MODEL, CaptionedSite, describing
from testing.openai_server import CHAT, EMBEDDINGS, KEY, OpenAiServer, Weather, openai_serving
from testing.patience import PATIENCE_S, Stopwatch
from testing.servers.mariadb import MariaDbServer, mariadb_server
from testing.servers.process import die_with_parent
from testing.servers.redis import redis_server
from testing.worksite import Site

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]

DUE_MS = 1
TIMEOUT_MS = 4_000
"""Longer than an answer ever takes on a busy machine, or one that was paid for would be lost."""


class Crew:
    """Worker processes over one database and queue."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, count: int) -> None:
        for _ in range(count):
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "testing.captioning_process"],
                    env=self._environment,
                    cwd=PROJECT_ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    preexec_fn=die_with_parent,
                )
            )

    def kill_one(self) -> None:
        worker = self.workers.pop(0)
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.workers.clear()


@contextmanager
def crew_of(site: CaptionedSite, folder: Path, *, quickly: bool = True) -> Iterator[Crew]:
    settings = site.runtime.settings
    assert settings.database_url is not None
    assert settings.redis_url is not None
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "MIRADA_ENV_FILE": os.devnull,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "DATA_DIR": str(settings.data_dir),
        "FAISS_INDEX_DIR": str(folder / "faiss"),
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": site.server.base_url,
        "CAPTION_TIMEOUT_MS": str(settings.caption_timeout_ms),
        "WORKER_THREADS": str(settings.worker_threads),
        "OMP_NUM_THREADS": "1",
        "QUICKLY": "1" if quickly else "0",
    }
    if settings.llm_daily_budget_usd is not None:
        environment["LLM_DAILY_BUDGET_USD"] = f"{settings.llm_daily_budget_usd:.6f}"
    crew = Crew(environment)
    try:
        yield crew
    finally:
        crew.stop()


def wait_until(claim: Callable[[], bool], timeout_s: float, told: Callable[[], Any]) -> None:
    watch = Stopwatch()
    while not claim():
        assert not watch.is_over(timeout_s), f"not within {timeout_s:.0f} s: {told()}"
        time.sleep(0.1)  # other processes do it; asking is the only way


def captioned(site: CaptionedSite) -> int:
    with site.runtime.reading() as session:
        query = select(func.count(Image.id)).where(Image.caption_source == "model")
        return session.execute(query).scalar_one()


def ended(site: CaptionedSite, purpose: str, state: CallState, failure: str | None = None) -> int:
    query = select(func.count(LanguageModelCall.id)).where(
        LanguageModelCall.purpose == purpose, LanguageModelCall.state == state
    )
    if failure is not None:
        query = query.where(LanguageModelCall.failure == failure)
    with site.runtime.reading() as session:
        return session.execute(query).scalar_one()


def run_the_storm(
    site: CaptionedSite, crew: Crew, *, total: int, twice: int, timeout_s: float
) -> dict[str, Any]:
    """Caption `total` pictures, `twice` of them other people's copies, in bad weather; say how it went.

    A worker is killed when a third has its caption; another one takes its place.
    """
    site.server.weather = Weather(busy=1 / 3, broken=0.1, hanging=0.02, retry_after="1", hang_s=60)
    # Slow enough that whoever is killed has a question under way.
    site.server.usual[CHAT] = lambda call: replace(describing(call), pause_s=0.3)
    distinct = total - twice
    other = site.user("other")
    for seed in range(distinct):
        site.bring(seed)
    for seed in range(twice):
        site.bring(seed, other)
    began = time.monotonic()
    crew.start(2)

    def so_far() -> Any:
        return captioned(site), site.caption_jobs(), dict(site.server.statuses)

    wait_until(lambda: captioned(site) >= total // 3, timeout_s, so_far)
    wait_until(lambda: ended(site, spending.CAPTION, CallState.RESERVED) > 1, timeout_s, so_far)
    crew.kill_one()
    crew.start(1)
    wait_until(lambda: site.caption_jobs() == {"done": total}, timeout_s, so_far)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "captioned": captioned(site),
        "vectors": len(site.text_vectors()),
        "paid": dict(site.server.paid),
        "answers": dict(site.server.statuses),
        "shared": ended(site, spending.CAPTION, CallState.SHARED),
        "killed in flight": {
            purpose: ended(site, purpose, CallState.UNKNOWN, "worker_lost")
            + ended(site, purpose, CallState.RESERVED)
            for purpose in (spending.CAPTION, spending.CAPTION_EMBEDDING)
        },
    }


def assert_paid_once(found: dict[str, Any], *, total: int, twice: int) -> None:
    distinct = total - twice
    assert found["captioned"] == total
    assert found["vectors"] == distinct
    assert found["shared"] == twice
    for path, purpose in ((CHAT, spending.CAPTION), (EMBEDDINGS, spending.CAPTION_EMBEDDING)):
        killed = found["killed in flight"][purpose]
        assert distinct <= found["paid"][path] <= distinct + killed, found
    # It was as bad as it should have been.
    answered = sum(found["answers"].values())
    assert found["answers"][429] > answered / 5
    assert found["answers"][500] > answered / 25


def made_site(runtime: Runtime, server: OpenAiServer) -> CaptionedSite:
    from testing.worksite import MeanColours

    encoder = MeanColours()
    runtime.remember("encoder", encoder)
    return CaptionedSite(Site(runtime, encoder), server)


@pytest.fixture
def site(
    make_site: Callable[..., Site], mariadb_url: str, redis_url: str
) -> Iterator[Callable[..., CaptionedSite]]:
    with openai_serving() as server:

        def make(**settings: Any) -> CaptionedSite:
            chosen = {
                **server.settings,
                "database_url": mariadb_url,
                "redis_url": redis_url,
                "caption_timeout_ms": TIMEOUT_MS,
                **settings,
            }
            return CaptionedSite(make_site(**chosen), server)

        yield make


@pytest.mark.drill
def test_every_picture_is_paid_once_in_bad_weather_and_with_a_worker_killed(
    site: Callable[..., CaptionedSite], tmp_path: Path
) -> None:
    drilled = site()
    with crew_of(drilled, tmp_path) as crew:
        found = run_the_storm(drilled, crew, total=30, twice=6, timeout_s=PATIENCE_S)
    assert_paid_once(found, total=30, twice=6)


def most_micros(runtime: Runtime) -> int:
    recipe = recipe_in_force(runtime.settings)
    price = PriceTable().of(MODEL)
    assert recipe is not None
    assert price is not None
    bound = caption_question(recipe).bound
    return price.cost_micros(bound.input_tokens, bound.output_tokens)


def test_a_used_up_budget_stops_many_workers_and_the_next_day_goes_on(
    site: Callable[..., CaptionedSite], tmp_path: Path
) -> None:
    total, room = 40, 12
    # Room for a dozen answered calls and the most that one more may cost, but for a millionth.
    probe = site()
    budget = room * (COST + 1) + most_micros(probe.runtime) - 1
    drilled = CaptionedSite.__new__(CaptionedSite)
    drilled.__dict__.update(probe.__dict__)
    drilled.runtime.settings = drilled.runtime.settings.model_copy(
        update={"llm_daily_budget_usd": budget / 1_000_000}
    )
    for seed in range(total):
        drilled.bring(seed)

    with crew_of(drilled, tmp_path) as crew:
        crew.start(3)

        def waits() -> bool:
            """Every job is done or waits for money."""
            with drilled.runtime.reading() as session:
                reached = select(func.count(Job.id)).where(
                    Job.kind == CAPTION_IMAGE,
                    Job.state == "queued",
                    Job.next_run_at_ms > DUE_MS,
                    Job.last_error.like("%LLM_DAILY_BUDGET_USD%"),
                )
                waiting = session.execute(reached).scalar_one()
            return waiting + drilled.caption_jobs().get("done", 0) == total

        told = drilled.caption_jobs
        wait_until(waits, PATIENCE_S, told)
        first_day = captioned(drilled)
        paid = drilled.server.paid[CHAT] * COST + drilled.server.paid[EMBEDDINGS]
        assert 1 <= first_day < total
        assert paid == drilled.committed() <= budget
        with drilled.runtime.reading() as session:
            day = session.execute(select(func.max(SpendingDay.utc_day))).scalar_one()
            waiting = session.execute(
                select(Job.next_run_at_ms, Job.attempts, Job.last_error).where(
                    Job.kind == CAPTION_IMAGE, Job.state == "queued"
                )
            ).all()
        waiting = [row for row in waiting if "BUDGET" in (row.last_error or "")]
        days_and_attempts = {(row.next_run_at_ms // DAY_MS, row.attempts) for row in waiting}
        assert days_and_attempts == {(day + 1, 0)}, waiting

        # A day later, as far as the books can tell; every day has room for some more.
        days = 1
        while (before := captioned(drilled)) < total:
            assert days < 20, told()
            with drilled.runtime.transaction() as session:
                shift = {"utc_day": LanguageModelCall.utc_day - 1}
                session.execute(update(LanguageModelCall).values(**shift))
                for each in session.execute(
                    select(SpendingDay).order_by(SpendingDay.utc_day)
                ).scalars():
                    each.utc_day -= 1
                    session.flush()
                session.execute(
                    update(Job)
                    .where(Job.state == "queued")
                    .values(next_run_at_ms=DUE_MS, rung_at_ms=None)
                )
            days += 1
            wait_until(waits, PATIENCE_S, told)
            assert captioned(drilled) > before
            with drilled.runtime.reading() as session:
                dearest = session.execute(
                    select(func.max(SpendingDay.committed_micros)).where(SpendingDay.user_id == 0)
                ).scalar_one()
            assert dearest <= budget
    assert drilled.server.paid == {CHAT: total, EMBEDDINGS: total}


def main(total: int, twice: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mariadb_server() as mariadb,
        redis_server() as redis_url,
        openai_serving() as server,
    ):
        at_full_size(Path(folder), mariadb, redis_url, server, total, twice)


def at_full_size(
    folder: Path,
    mariadb: MariaDbServer,
    redis_url: str,
    server: OpenAiServer,
    total: int,
    twice: int,
) -> None:
    with mariadb.new_database() as name:
        runtime = Runtime(
            Settings.from_env(
                data_dir=folder / "data",
                faiss_index_dir=folder / "faiss",
                database_url=mariadb.url(name),
                redis_url=redis_url,
                caption_timeout_ms=TIMEOUT_MS,
                **server.settings,
            )
        )
        runtime.migrate()
        site = made_site(runtime, server)
        with crew_of(site, folder, quickly=False) as crew:
            found = run_the_storm(site, crew, total=total, twice=twice, timeout_s=1_200)
        runtime.close()
    for name, value in found.items():
        sys.stdout.write(f"{name}: {value}\n")
    assert_paid_once(found, total=total, twice=twice)
    sys.stdout.write("Every picture has its caption, and each was paid for once.\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
