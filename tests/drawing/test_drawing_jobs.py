"""A picture is made from words by a worker: once, paid once, and by the road of any upload."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from mirada.config import PROJECT_ROOT
from mirada.db.idempotency import Requested
from mirada.db.models import ApiKey, Content, Image, Job, JobState, Role, User, utc_now
from mirada.db.session import now_ms
from mirada.db.spending_models import CallState, LanguageModelCall, SpendingDay
from mirada.drawing.request import GENERATE_IMAGE, WantedDrawing, request_drawing
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import ledger
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, InvalidInput, QuotaReached, StorageFull, Unavailable
from mirada.kernel.model_requests import PictureToDraw
from mirada.language_model.spending import DAY_MS
from mirada.people import keys
from mirada.pictures import images, intake
from mirada.pictures.quota import change_quota
from mirada.runtime import Runtime
from testing.openai_server import (
    DRAWINGS,
    Answer,
    Call,
    OpenAiServer,
    drawing,
    drawn_of,
    failure,
    html,
    openai_serving,
)
from testing.patience import PATIENCE_S, Stopwatch
from testing.pictures import picture
from testing.worksite import Site
from workers.kinds import KINDS
from workers.runner import run_job
from workers.sweeper import Sweeper

PROMPT = "a cat on the moon, flat colours"
COST = 12 * 5 + 1_056 * 30
"""Of one drawing of the loopback server's, in millionths of a dollar."""


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        yield server


@pytest.fixture
def make_drawing(
    make_site: Callable[..., Site], site_settings: dict[str, Any], server: OpenAiServer
) -> Callable[..., Site]:
    """Return a function that makes a site whose pictures the server draws."""

    def make(**settings: Any) -> Site:
        return make_site(**{**server.settings, **site_settings, **settings})

    return make


@pytest.fixture
def drawing_site(make_drawing: Callable[..., Site]) -> Site:
    return make_drawing(generation_timeout_ms=400)


def ask(site: Site, prompt: str = PROMPT, **wanted: Any) -> int:
    api_key_id = wanted.pop("api_key_id", None)
    wanted = {"owner_id": site.owner_id, **wanted}
    with site.runtime.transaction() as session:
        requested = request_drawing(
            session, WantedDrawing(prompt=prompt, **wanted), api_key_id=api_key_id
        )
    return requested.job_id


def run_now(site: Site, job_id: int) -> Job:
    """Run one attempt of a job whether it is due or not, and return the job afterwards."""
    with site.runtime.transaction() as session:
        session.execute(
            update(Job).where(Job.id == job_id).values(next_run_at_ms=1, lease_until_ms=None)
        )
    assert run_job(site.runtime, job_id)
    return site.job(job_id)


def retry(site: Site, job_id: int) -> Job:
    with site.runtime.transaction() as session:
        owner = session.get_one(User, site.job(job_id).owner_id)
        ledger.retry_job(session, job_id, owner, KINDS)
    return run_now(site, job_id)


def waits_s(site: Site, job_id: int) -> float:
    with site.runtime.reading() as session:
        due, now = session.execute(
            select(Job.next_run_at_ms, now_ms()).where(Job.id == job_id)
        ).one()
    return float(due - now) / 1000


def the_image(site: Site) -> Image:
    with site.runtime.reading() as session:
        found = session.execute(select(Image)).scalar_one()
        return images.get_image(session, found.id, Audience(found.owner_id))


def count(site: Site, table: Any) -> int:
    with site.runtime.reading() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def calls(site: Site) -> list[tuple[str, int | None]]:
    """How every call ended, and what it cost."""
    with site.runtime.reading() as session:
        rows = session.execute(select(LanguageModelCall).order_by(LanguageModelCall.id)).scalars()
        return [(call.state, call.cost_micros) for call in rows]


def committed(site: Site, user_id: int = 0) -> int:
    with site.runtime.reading() as session:
        of_user = select(SpendingDay.committed_micros).where(SpendingDay.user_id == user_id)
        return int(session.execute(of_user).scalar_one_or_none() or 0)


def most() -> int:
    """What one drawing can cost at most."""
    bound = PictureToDraw("gpt-image-2", PROMPT, "1024x1024").bound
    return bound.input_tokens * 5 + bound.output_tokens * 30


def files(site: Site) -> list[Path]:
    return [path for path in site.runtime.settings.image_dir.rglob("*") if path.is_file()]


def drawn(site: Site) -> list[Path]:
    """What was drawn and is no image yet."""
    return list((site.runtime.settings.image_dir / "drawn").glob("*"))


def assert_nothing_kept(site: Site) -> None:
    assert (count(site, Image), count(site, Content), files(site)) == (0, 0, [])


# What is made.


def test_a_prompt_becomes_a_private_image_of_its_owner(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    job_id = ask(site)

    job = run_now(site, job_id)

    image = the_image(site)
    assert (job.state, job.subject_id, job.last_error) == (JobState.DONE, image.id, None)
    assert (image.owner_id, image.prompt, image.caption) == (site.owner_id, PROMPT, None)
    assert (image.is_public, image.filename, image.status) == (False, None, "PENDING")
    assert image.generation == {
        "generator": "OpenAI images API",
        "prompt": PROMPT,
        "negative_prompt": None,
        "seed": None,
        "steps": None,
        "cfg_scale": None,
        "sampler": None,
        "scheduler": None,
        "model": "gpt-image-2",
        "model_hash": None,
        "width": 1024,
        "height": 1024,
        "extra": {},
    }
    stored = site.runtime.image_store.path(image.content.storage_key)
    assert stored.read_bytes() == drawn_of(PROMPT)
    assert files(site) == [stored]
    (call,) = server.calls
    assert call.body["prompt"] == PROMPT
    assert (call.body["model"], call.body["size"]) == ("gpt-image-2", "1024x1024")
    assert calls(site) == [(CallState.PAID, COST)]
    assert committed(site) == committed(site, site.owner_id) == COST


def test_who_has_no_room_is_refused_before_anything_is_paid_for(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    paid = ask(site)
    with site.runtime.transaction() as session:
        change_quota(session, site.owner_id, {"quota_images": 0})
    with pytest.raises(QuotaReached):
        ask(site)
    # What was asked for while there was room is paid for, and kept.
    assert run_now(site, paid).state == JobState.DONE
    assert (count(site, Image), len(server.calls)) == (1, 1)


def test_it_is_embedded_like_an_upload(drawing_site: Site) -> None:
    run_now(drawing_site, ask(drawing_site))

    with drawing_site.runtime.reading() as session:
        queued = session.execute(select(Job).where(Job.kind == CREATE_EMBEDDINGS)).scalar_one()
    assert (queued.state, queued.owner_id) == (JobState.QUEUED, drawing_site.owner_id)
    assert queued.subject_id == the_image(drawing_site).content_id


def test_what_was_asked_for_is_what_is_made(make_drawing: Callable[..., Site]) -> None:
    site = make_drawing(generation_model="stable-diffusion", generation_size="auto")
    wanted = {"size": "1536x1024", "caption": "Luna", "is_public": True, "auto_caption": False}
    run_now(site, ask(site, **wanted))

    image = the_image(site)
    assert (image.caption, image.caption_source, image.is_public) == ("Luna", "person", True)
    assert image.auto_caption is False
    assert image.generation is not None
    assert [image.generation[name] for name in ("model", "width", "height")] == [
        "stable-diffusion",
        1536,
        1024,
    ]


def test_a_finished_job_holds_no_words_of_its_image(drawing_site: Site) -> None:
    job = run_now(drawing_site, ask(drawing_site, caption="Luna"))
    assert job.arguments == {}


def test_the_same_picture_drawn_for_two_people_is_kept_once(drawing_site: Site) -> None:
    site = drawing_site
    with site.runtime.transaction() as session:
        ben = User(username="ben", role=Role.USER)
        session.add(ben)
        session.flush()
        ben_id = ben.id
    first = run_now(site, ask(site))
    second = run_now(site, ask(site, owner_id=ben_id))

    assert first.subject_id != second.subject_id
    assert (count(site, Image), count(site, Content), len(files(site))) == (2, 1, 1)
    assert committed(site, ben_id) == committed(site, site.owner_id) == COST


# Once, whatever happens.


def test_one_key_asked_with_at_once_queues_one_job(drawing_site: Site) -> None:
    site = drawing_site
    ends: list[Requested | None] = []
    barrier = threading.Barrier(6)

    def request() -> None:
        barrier.wait()
        try:
            with site.runtime.transaction() as session:
                end: Requested | None = request_drawing(
                    session, WantedDrawing(site.owner_id, PROMPT), idempotency_key="k-1"
                )
        except (Conflict, Unavailable):
            end = None
        ends.append(end)

    threads = [threading.Thread(target=request) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    made = [end for end in ends if end is not None]
    assert len(ends) == 6
    assert len({end.job_id for end in made}) == 1
    assert [end.was_replayed for end in made].count(False) == 1
    assert count(site, Job) == 1


def test_a_key_of_another_request_is_refused(drawing_site: Site) -> None:
    site = drawing_site
    with site.runtime.transaction() as session:
        request_drawing(session, WantedDrawing(site.owner_id, "a"), idempotency_key="k-1")
    with (
        pytest.raises(InvalidInput, match="another request"),
        site.runtime.transaction() as session,
    ):
        request_drawing(session, WantedDrawing(site.owner_id, "b"), idempotency_key="k-1")


def test_trouble_after_the_bytes_came_costs_no_second_call(
    drawing_site: Site, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = drawing_site
    job_id = ask(site)

    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "register_image", fail)
        job = run_now(site, job_id)
    assert (job.state, job.last_error) == (JobState.QUEUED, "The database is away.")
    assert count(site, Image) == 0
    assert files(site) == drawn(site) != []

    assert run_now(site, job_id).state == JobState.DONE
    assert (server.paid[DRAWINGS], count(site, Image), drawn(site)) == (1, 1, [])
    assert committed(site) == COST


def test_an_attempt_that_lost_its_lease_makes_no_image(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    job_id = ask(site)

    def take_the_lease(call: Call) -> Answer:
        with site.runtime.transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(lease_token="another"))
        return drawing(drawn_of(PROMPT))

    server.usual[DRAWINGS] = take_the_lease
    job = run_now(site, job_id)
    assert (job.state, job.lease_token, job.subject_id) == (JobState.RUNNING, "another", None)
    assert (count(site, Image), count(site, Content)) == (0, 0)
    assert files(site) == drawn(site) != []

    assert run_now(site, job_id).state == JobState.DONE
    assert (server.paid[DRAWINGS], count(site, Image), len(files(site))) == (1, 1, 1)


def run_and_die(site: Site, server: OpenAiServer, job_id: int, moment: str) -> Any:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "MIRADA_ENV_FILE": os.devnull,
        "DATABASE_URL": site.runtime.settings.url.render_as_string(hide_password=False),
        "DATA_DIR": str(site.runtime.settings.data_dir),
        **{name.upper(): value for name, value in server.settings.items()},
    }
    return subprocess.Popen(
        [sys.executable, "-m", "testing.drawing_process", str(job_id), moment],
        cwd=PROJECT_ROOT,
        env=environment,
    )


def test_a_worker_killed_before_the_bytes_came_costs_one_call_more(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    job_id = ask(site)
    server.next.append(Answer(504, b"{}", pause_s=30))
    process = run_and_die(site, server, job_id, "never")
    watch = Stopwatch()
    while not server.calls:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.02)  # another process does it; asking is the only way
    process.kill()
    process.wait()

    job = run_now(site, job_id)

    assert (job.state, job.crashes) == (JobState.DONE, 1)
    assert (len(server.calls), server.paid[DRAWINGS], count(site, Image)) == (2, 1, 1)
    Sweeper(site.runtime).sweep()
    assert calls(site) == [(CallState.UNKNOWN, None), (CallState.PAID, COST)]
    assert committed(site) == most() + COST


@pytest.mark.parametrize(
    ("moment", "counted"),
    [("received", CallState.UNKNOWN), ("paid", CallState.PAID)],
)
def test_a_worker_killed_after_the_bytes_came_costs_none(
    drawing_site: Site, server: OpenAiServer, moment: str, counted: CallState
) -> None:
    site = drawing_site
    job_id = ask(site)
    assert run_and_die(site, server, job_id, moment).wait(PATIENCE_S) == -9
    assert len(drawn(site)) == 1
    assert count(site, Image) == 0

    job = run_now(site, job_id)

    assert (job.state, job.crashes) == (JobState.DONE, 1)
    assert (len(server.calls), count(site, Image), len(files(site))) == (1, 1, 1)
    Sweeper(site.runtime).sweep()
    assert [state for state, _ in calls(site)] == [counted]
    assert committed(site) == (most() if counted is CallState.UNKNOWN else COST)


def test_a_worker_killed_after_the_image_was_made_makes_no_second(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    job_id = ask(site)
    assert run_and_die(site, server, job_id, "registered").wait(PATIENCE_S) == -9

    assert (site.job(job_id).state, count(site, Image)) == (JobState.DONE, 1)
    assert not run_job(site.runtime, job_id)
    assert (len(server.calls), count(site, Image)) == (1, 1)


# Trouble at the server's.


def test_too_many_requests_wait_as_long_as_told_and_lose_no_attempt(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    job_id = ask(site)
    server.next.append(failure(429, "rate_limit_exceeded", retry_after="300"))

    job = run_now(site, job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert 200 < waits_s(site, job_id) < 320
    assert committed(site) == 0

    assert run_now(site, job_id).state == JobState.DONE
    assert [state for state, _ in calls(site)] == [CallState.FREE, CallState.PAID]


def test_an_account_without_money_waits(drawing_site: Site, server: OpenAiServer) -> None:
    site = drawing_site
    job_id = ask(site)
    server.next.append(failure(400, "billing_hard_limit_reached"))

    job = run_now(site, job_id)
    assert (job.state, job.attempts, committed(site)) == (JobState.QUEUED, 0, 0)
    assert run_now(site, job_id).state == JobState.DONE


@pytest.mark.parametrize(
    ("answer", "state", "counts"),
    [
        (failure(500, "server_error"), CallState.FREE, False),
        (Answer(body=b"{}", pause_s=30), CallState.UNKNOWN, True),
    ],
    ids=["500", "hanging"],
)
def test_a_server_in_trouble_is_asked_again_four_times_in_all(
    drawing_site: Site, server: OpenAiServer, answer: Answer, state: CallState, counts: bool
) -> None:
    site = drawing_site
    job_id = ask(site)
    server.next.extend([answer] * 4)
    states = [run_now(site, job_id).state for _ in range(4)]

    assert states == [JobState.QUEUED] * 3 + [JobState.FAILED]
    assert [each for each, _ in calls(site)] == [state] * 4
    assert committed(site) == (4 * most() if counts else 0)
    assert_nothing_kept(site)

    assert retry(site, job_id).state == JobState.DONE


@pytest.mark.parametrize("code", ["moderation_blocked", "content_policy_violation"])
def test_a_prompt_that_is_declined_fails_at_once_and_says_why(
    drawing_site: Site, server: OpenAiServer, code: str
) -> None:
    site = drawing_site
    job_id = ask(site)
    server.next.append(failure(400, code))

    job = run_now(site, job_id)

    assert job.state == JobState.FAILED
    assert job.last_error == (
        f"The prompt was declined by the rules of whoever draws ({code}). Nothing was drawn or "
        "paid; ask with other words."
    )
    assert (len(server.calls), committed(site)) == (1, 0)
    assert site.runtime.circuit.status().is_open is False
    assert_nothing_kept(site)


def test_a_model_that_may_not_be_used_is_asked_once_and_its_jobs_wait(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    server.next.append(failure(403))
    for job_id in (ask(site), ask(site)):
        job = run_now(site, job_id)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        assert "GENERATION_MODEL (403)" in (job.last_error or "")
        assert "set GENERATION_MODEL to another model and restart" in (job.last_error or "")
    # The key is good: captions and expansions go on.
    assert len(server.calls) == 1
    assert not site.runtime.circuit.status().is_open


def test_a_refused_key_fails_no_job(drawing_site: Site, server: OpenAiServer) -> None:
    site = drawing_site
    server.next.append(failure(401, "invalid_api_key"))
    job_id = ask(site)
    job = run_now(site, job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    site.runtime.circuit.answered()
    assert run_now(site, job_id).state == JobState.DONE


@pytest.mark.parametrize("setting", ["llm_daily_budget_usd", "llm_user_daily_budget_usd"])
def test_a_budget_that_is_reached_waits_for_the_next_day(
    make_drawing: Callable[..., Site], server: OpenAiServer, setting: str
) -> None:
    # Room for one drawing at its most, and not for another after what that one cost.
    site = make_drawing(**{setting: (most() + COST - 1) / 1_000_000})
    assert run_now(site, ask(site)).state == JobState.DONE
    job_id = ask(site)

    job = run_now(site, job_id)

    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert setting.upper() in (job.last_error or "")
    with site.runtime.reading() as session:
        day = session.execute(select(func.max(LanguageModelCall.utc_day))).scalar_one()
    assert job.next_run_at_ms // DAY_MS == day + 1
    assert len(server.calls) == 1
    with site.runtime.transaction() as session:
        session.execute(update(SpendingDay).values(committed_micros=0))
    assert run_now(site, job_id).state == JobState.DONE


def too_long() -> bytes:
    return picture(1, size=(16_400, 1))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: drawing(b"GIF89a is not enough"), "What was drawn cannot be kept"),
        (lambda: drawing(b"<!doctype html><p>Sorry"), "What was drawn cannot be kept"),
        (lambda: drawing(picture(1)[:-40]), "What was drawn cannot be kept"),
        (lambda: drawing(too_long()), "What was drawn cannot be kept"),
        (lambda: drawing(b"\x89PNG\r\n\x1a\n" + bytes(1024 * 1024)), "MAX_UPLOAD_MB"),
        (lambda: drawing(b64_json="not base64!"), "not base64"),
        (lambda: drawing(url="http://127.0.0.1:9/1.png"), "another server's address"),
        (lambda: drawing(), "holds no picture"),
        (lambda: html(), "own format"),
    ],
    ids=["gif", "page", "cut", "long", "big", "base64", "address", "none", "html"],
)
def test_what_is_no_picture_fails_at_once_and_leaves_nothing(
    make_drawing: Callable[..., Site],
    server: OpenAiServer,
    answer: Callable[[], Answer],
    reason: str,
) -> None:
    site = make_drawing(max_upload_mb=1)
    job_id = ask(site)
    server.next.append(answer())

    job = run_now(site, job_id)

    assert job.state == JobState.FAILED
    assert reason in (job.last_error or "")
    assert len(server.calls) == 1
    assert [state for state, _ in calls(site)] == [CallState.PAID]
    assert_nothing_kept(site)

    # By hand another one is drawn: the words were kept with the job.
    assert retry(site, job_id).state == JobState.DONE
    assert the_image(site).prompt == PROMPT


def test_a_full_disk_is_not_paid_for(
    drawing_site: Site, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = drawing_site

    def full(*_: Any) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(site.runtime.image_store, "probe", full)
    assert run_now(site, ask(site)).state == JobState.QUEUED
    assert (len(server.calls), calls(site)) == (0, [])


def test_a_picture_that_could_not_be_kept_is_not_paid_for_again_by_itself(
    drawing_site: Site, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = drawing_site
    job_id = ask(site)

    def full(*_: Any) -> None:
        raise StorageFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(site.runtime.image_store, "commit", full)
        job = run_now(site, job_id)

    assert job.state == JobState.FAILED
    assert "could not be kept: The disk is full." in (job.last_error or "")
    assert calls(site) == [(CallState.PAID, COST)]
    assert_nothing_kept(site)
    assert retry(site, job_id).state == JobState.DONE


def test_drawings_take_a_quarter_of_the_threads_and_the_rest_wait_their_turn(
    make_drawing: Callable[..., Site], server: OpenAiServer
) -> None:
    site = make_drawing()
    begun, go_on = threading.Event(), threading.Event()

    def slowly(call: Call) -> Answer:
        begun.set()
        go_on.wait(PATIENCE_S)
        return drawing(drawn_of(PROMPT))

    server.usual[DRAWINGS] = slowly
    first, second = ask(site), ask(site)
    thread = threading.Thread(target=run_job, args=(site.runtime, first))
    thread.start()
    assert begun.wait(PATIENCE_S)

    job = run_now(site, second)

    assert (job.state, job.attempts, len(server.calls)) == (JobState.QUEUED, 0, 1)
    assert "turn" in (job.last_error or "")
    go_on.set()
    thread.join()
    assert site.job(first).state == JobState.DONE
    assert waits_s(site, second) <= 0, "an attempt that ends wakes the next"
    assert run_now(site, second).state == JobState.DONE


# Whoever asked is gone.


def test_nothing_is_paid_for_a_user_who_is_gone(drawing_site: Site, server: OpenAiServer) -> None:
    site = drawing_site
    with site.runtime.transaction() as session:
        ben = User(username="ben", role=Role.USER)
        session.add(ben)
        session.flush()
        ben_id = ben.id
    job_id = ask(site, owner_id=ben_id)
    with site.runtime.transaction() as session:
        session.execute(delete(User).where(User.id == ben_id))

    job = run_now(site, job_id)

    assert (job.state, len(server.calls)) == (JobState.FAILED, 0)
    assert "no user any more" in (job.last_error or "")


def test_nothing_is_paid_for_a_key_that_was_revoked_meanwhile(
    drawing_site: Site, server: OpenAiServer
) -> None:
    site = drawing_site
    with site.runtime.transaction() as session:
        key_id = keys.issue(session, session.get_one(User, site.owner_id)).row.id
    fine, late = ask(site, api_key_id=key_id), ask(site, api_key_id=key_id)
    assert run_now(site, fine).state == JobState.DONE
    with site.runtime.transaction() as session:
        session.execute(update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=utc_now()))

    job = run_now(site, late)

    assert (job.state, len(server.calls)) == (JobState.FAILED, 1)
    assert "revoked" in (job.last_error or "")
    assert retry(site, late).state == JobState.DONE
    assert len(server.calls) == 2


def test_a_key_that_has_expired_was_good_when_it_was_used(drawing_site: Site) -> None:
    site = drawing_site
    with site.runtime.transaction() as session:
        key_id = keys.issue(session, session.get_one(User, site.owner_id)).row.id
        session.execute(update(ApiKey).where(ApiKey.id == key_id).values(expires_at=utc_now()))
    assert run_now(site, ask(site, api_key_id=key_id)).state == JobState.DONE


def test_a_worker_without_a_key_says_so(
    make_drawing: Callable[..., Site], server: OpenAiServer
) -> None:
    site = make_drawing(openai_api_key=None)
    job = run_now(site, ask(site))
    assert (job.state, len(server.calls)) == (JobState.FAILED, 0)
    assert "OPENAI_API_KEY is not set" in (job.last_error or "")
    assert job.arguments["prompt"] == PROMPT


def test_without_embeddings_pictures_are_made_all_the_same(
    make_drawing: Callable[..., Site],
) -> None:
    site: Site = make_drawing(embeddings_enabled=False, captions_enabled=False)
    runtime: Runtime = site.runtime
    assert run_now(site, ask(site)).state == JobState.DONE
    with runtime.reading() as session:
        assert session.execute(select(Job.kind)).scalars().all() == [GENERATE_IMAGE]
