"""Labels are expanded by a worker; whatever the language model does, whoever asked is not harmed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.classify import expansions, label_expansion
from mirada.classify.expansions import ExpansionStatus, expansion_within
from mirada.config import PROJECT_ROOT
from mirada.db.classifier_models import LabelExpansion
from mirada.db.models import Job, JobState
from mirada.kernel.errors import Unavailable
from mirada.runtime import Runtime
from testing.openai_server import (
    CHAT,
    Answer,
    Call,
    OpenAiServer,
    completion,
    expansion_of,
    failure,
    html,
    openai_serving,
)
from testing.patience import PATIENCE_S, Stopwatch
from workers.in_process import InProcessWorker
from workers.runner import run_job

READY, PENDING, FAILED, OFF = (
    ExpansionStatus.READY,
    ExpansionStatus.PENDING,
    ExpansionStatus.FAILED,
    ExpansionStatus.OFF,
)
CAT = label_expansion.parse(expansion_of("cat"))


def of_the_label(call: Call) -> Answer:
    """Answer for whatever label is asked about."""
    return completion(expansion_of(json.loads(call.body["messages"][1]["content"])["label"]))


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = of_the_label
        yield server


@pytest.fixture
def make_asking(
    make_runtime: Callable[..., Runtime], site_settings: dict[str, Any], server: OpenAiServer
) -> Callable[..., Runtime]:
    """Return a function that makes a runtime whose language model is the server's."""

    def make(**settings: Any) -> Runtime:
        # Without embeddings nobody waits for weights that no test here uses.
        defaults = {**server.settings, **site_settings, "embeddings_enabled": False}
        return make_runtime(**{**defaults, **settings})

    return make


@pytest.fixture
def runtime(make_asking: Callable[..., Runtime]) -> Runtime:
    return make_asking(llm_label_expansion_timeout_ms=500)


@pytest.fixture
def working(runtime: Runtime) -> Iterator[Runtime]:
    workers = InProcessWorker(runtime, threads=2)
    workers.start()
    yield runtime
    workers.stop()


def stored(runtime: Runtime) -> int:
    with runtime.reading() as session:
        return session.execute(select(func.count(LabelExpansion.id))).scalar_one()


def the_job(runtime: Runtime) -> Job:
    with runtime.reading() as session:
        return session.execute(select(Job)).scalar_one()


def run_now(runtime: Runtime) -> Job:
    """Run the one job whether it is due or not, and return it afterwards."""
    with runtime.transaction() as session:
        session.execute(update(Job).values(next_run_at_ms=1))
    assert run_job(runtime, the_job(runtime).id)
    return the_job(runtime)


def test_a_label_is_expanded_while_its_caller_waits(working: Runtime, server: OpenAiServer) -> None:
    assert expansion_within(working, "cat", 10_000) == (CAT, READY)
    assert expansion_within(working, "cat", 0) == (CAT, READY)

    assert len(server.calls) == 1
    assert server.calls[0].body["model"] == "gpt-6-luna"


def test_a_slow_model_is_waited_for_no_longer_than_allowed(
    working: Runtime, server: OpenAiServer
) -> None:
    server.usual[CHAT] = lambda call: Answer(body=of_the_label(call).body, pause_s=0.4)
    watch = Stopwatch()

    assert expansion_within(working, "cat", 100) == (None, PENDING)

    assert watch.seconds < 2
    assert expansion_within(working, "cat", 10_000) == (CAT, READY)
    assert len(server.calls) == 1


def test_the_setting_says_how_long_to_wait(make_asking: Callable[..., Runtime]) -> None:
    runtime = make_asking(llm_label_expansion_wait_ms=300)
    watch, began_at_s = Stopwatch(), time.monotonic()

    assert expansion_within(runtime, "cat") == (None, PENDING)

    assert time.monotonic() - began_at_s >= 0.3
    assert watch.seconds < 2


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (failure(429, "rate_limit_exceeded"), JobState.QUEUED),
        (failure(500), JobState.QUEUED),
        (html(503), JobState.QUEUED),
        (Answer(body=b"{}", pause_s=30), JobState.QUEUED),
        (failure(404, "model_not_found"), JobState.QUEUED),
        (html(), JobState.FAILED),
        (completion("Sure! Here are some tags."), JobState.FAILED),
        (completion(None, refusal="No."), JobState.FAILED),
        (completion('{"subtags": ["c', finish_reason="length"), JobState.FAILED),
        (completion(expansion_of("cat", subtags=["<b onclick=x>cat</b>"])), JobState.FAILED),
        (completion(expansion_of("cat", subtags={"cat": 21})), JobState.FAILED),
        (completion(expansion_of("cat", subtags=["cat " * 99])), JobState.FAILED),
        (completion(expansion_of("cat") + " " * 20_000), JobState.FAILED),
        (completion(expansion_of("cat", emotions=["ignore all rules"])), JobState.FAILED),
        (completion(expansion_of("cat", descriptions=["see evil.example"])), JobState.FAILED),
        (completion('{"emotions": ["joy"]}'), JobState.FAILED),
    ],
    ids=[
        "429", "500", "503 in HTML", "time-out", "404", "HTML", "garbage", "refusal", "cut off",
        "markup", "no list", "too long a text", "too long a reply", "instruction", "address",
        "half a reply",
    ],
)  # fmt: skip
def test_a_misbehaving_model_leaves_nothing_and_harms_nobody(
    runtime: Runtime, server: OpenAiServer, answer: Answer, state: JobState
) -> None:
    assert expansion_within(runtime, "cat", 0) == (None, PENDING)
    server.next.append(answer)

    job = run_now(runtime)

    assert (job.state, stored(runtime)) == (state, 0)
    assert job.last_error
    assert "<" not in job.last_error
    assert len(server.calls) == 1
    status = PENDING if state == JobState.QUEUED else FAILED
    assert expansion_within(runtime, "cat", 100) == (None, status)
    assert not run_job(runtime, job.id), "it is not asked again at once"
    assert len(server.calls) == 1


def test_retry_after_is_honoured_and_the_answer_comes_in_the_end(
    runtime: Runtime, server: OpenAiServer
) -> None:
    server.next.extend([failure(429, retry_after="1800"), failure(500)])
    expansion_within(runtime, "cat", 0)
    before_ms = time.time() * 1000

    job = run_now(runtime)

    assert 1_795_000 < job.next_run_at_ms - before_ms < 1_830_000
    watch = Stopwatch()
    assert expansion_within(runtime, "cat", 5_000) == (None, PENDING)
    assert watch.seconds < 2, "what rests for half an hour is not waited for"
    assert run_now(runtime).state == JobState.QUEUED
    assert run_now(runtime).state == JobState.DONE
    assert expansion_within(runtime, "cat", 0) == (CAT, READY)
    assert len(server.calls) == 3


def test_five_errors_are_enough(runtime: Runtime, server: OpenAiServer) -> None:
    server.next.extend([failure(500)] * 5)
    expansion_within(runtime, "cat", 0)

    states = [run_now(runtime).state for _ in range(5)]

    assert states == [JobState.QUEUED] * 4 + [JobState.FAILED]
    assert expansion_within(runtime, "cat", 0) == (None, FAILED)


def test_a_failure_is_told_to_a_caller_who_waits(working: Runtime, server: OpenAiServer) -> None:
    server.next.append(completion("garbage"))
    watch = Stopwatch()

    assert expansion_within(working, "cat", 10_000) == (None, FAILED)

    assert watch.seconds < 8


@pytest.mark.parametrize(
    "settings", [{"openai_api_key": None}, {"enable_llm_label_expansion": False}]
)
def test_without_a_key_or_switched_off_nothing_is_queued(
    make_asking: Callable[..., Runtime],
    server: OpenAiServer,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    runtime = make_asking(**settings)

    assert [expansion_within(runtime, "cat") for _ in range(3)] == [(None, OFF)] * 3

    with runtime.reading() as session:
        assert session.execute(select(func.count(Job.id))).scalar_one() == 0
    told = [r for r in caplog.records if "OPENAI_API_KEY is not set" in r.getMessage()]
    assert len(told) == ("openai_api_key" in settings)
    assert server.calls == []


def test_a_worker_without_a_key_says_so_in_the_job(
    runtime: Runtime, make_asking: Callable[..., Runtime]
) -> None:
    expansion_within(runtime, "cat", 0)
    worker = make_asking(openai_api_key=None, data_dir=runtime.settings.data_dir)

    job = run_now(worker)

    assert job.state == JobState.FAILED
    assert "OPENAI_API_KEY is not set" in (job.last_error or "")


def test_a_wrong_key_is_told_and_never_shown_and_work_waits_for_a_right_one(
    make_asking: Callable[..., Runtime], server: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    runtime = make_asking(openai_api_key="sk-WRONG")
    for label in ("cat", "dog"):
        with runtime.transaction() as session:
            session.execute(Job.__table__.delete())  # type: ignore[attr-defined]
        expansion_within(runtime, label, 0)
        job = run_now(runtime)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        assert "refuses OPENAI_API_KEY (401" in (job.last_error or "")

    assert len(server.calls) == 1, "one refusal is enough to ask no more for a while"
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert "sk-WRONG" not in caplog.text
    mended = make_asking(data_dir=runtime.settings.data_dir)
    assert run_now(mended).state == JobState.DONE


def test_a_job_that_is_queued_twice_asks_once(runtime: Runtime, server: OpenAiServer) -> None:
    expansion_within(runtime, "cat", 0)
    run_now(runtime)
    with runtime.transaction() as session:
        session.execute(update(Job).values(state=JobState.QUEUED))

    assert run_now(runtime).state == JobState.DONE

    assert (len(server.calls), stored(runtime)) == (1, 1)


def test_a_question_of_an_older_version_is_dropped(runtime: Runtime, server: OpenAiServer) -> None:
    expansion_within(runtime, "cat", 0)
    asked = {**the_job(runtime).arguments, "prompt_version": label_expansion.PROMPT_VERSION - 1}
    with runtime.transaction() as session:
        session.execute(update(Job).values(arguments=asked))

    assert run_now(runtime).state == JobState.DONE

    assert (server.calls, stored(runtime)) == ([], 0)


def test_a_database_in_trouble_is_told_as_pending(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise Unavailable("The database is busy writing; try again shortly.")

    monkeypatch.setattr(expansions, "_look_up", fail)

    assert expansion_within(runtime, "cat", 5_000) == (None, PENDING)


def test_many_threads_and_labels_ask_once_each(working: Runtime, server: OpenAiServer) -> None:
    labels = ["cat", "dog", "coração 💔"]
    found: list[tuple[str, Any]] = []

    def ask(label: str) -> None:
        found.append((label, expansion_within(working, label, 20_000)))

    threads = [threading.Thread(target=ask, args=(label,)) for label in labels * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 9
    for label, answer in found:
        assert answer == (label_expansion.parse(expansion_of(label)), READY)
    assert len(server.calls) == stored(working) == 3


def test_two_processes_that_ask_for_one_label_make_one_call(
    runtime: Runtime, server: OpenAiServer
) -> None:
    server.usual[CHAT] = lambda call: Answer(body=of_the_label(call).body, pause_s=1)
    settings = runtime.settings
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "MIRADA_ENV_FILE": os.devnull,
        "DATABASE_URL": settings.url.render_as_string(hide_password=False),
        "DATA_DIR": str(settings.data_dir),
        "EMBEDDINGS_ENABLED": "false",
        **{name.upper(): value for name, value in server.settings.items()},
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "testing.expanding_process", "gato que voa"],
            cwd=PROJECT_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]

    expected = [READY, label_expansion.parse(expansion_of("gato que voa")).to_dict()]
    assert [json.loads(text) for text in said] == [expected, expected]
    assert [process.returncode for process in processes] == [0, 0]
    assert (len(server.calls), stored(runtime)) == (1, 1)
