"""Every question is paid for: many processes keep one budget, and a killed one is not forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.classify.expansions import expansion_within
from mirada.config import PROJECT_ROOT
from mirada.db.models import Job, JobState
from mirada.db.spending_models import CallState, LanguageModelCall, SpendingDay
from mirada.jobs import sweep
from mirada.kernel.errors import BudgetReached, CircuitOpen, LanguageModelRefused, Unavailable
from mirada.kernel.model_requests import PictureToDraw, Question, Request, TextsToEmbed
from mirada.kernel.prices import PriceTable, usd
from mirada.language_model import paying, spending
from mirada.language_model.spending import Order
from mirada.runtime import Runtime
from testing.openai_server import (
    CHAT,
    DRAWINGS,
    EMBEDDINGS,
    Answer,
    OpenAiServer,
    Weather,
    completion,
    drawing,
    expansion_of,
    failure,
    openai_serving,
)
from testing.patience import PATIENCE_S, Stopwatch
from testing.pictures import picture
from testing.spending_process import SCHEMA
from workers.runner import run_job
from workers.sweeper import Sweeper

ANA = 7
PNG = picture(1)
DESCRIBE = Question("gpt-4o-mini", "Describe.", "{}", SCHEMA, 90)


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = lambda call: completion(expansion_of("cat"))
        server.usual[DRAWINGS] = lambda call: drawing(PNG)
        yield server


@pytest.fixture
def make_paying(
    make_runtime: Callable[..., Runtime], site_settings: dict[str, Any], server: OpenAiServer
) -> Callable[..., Runtime]:
    """Return a function that makes a runtime whose language model is the server's."""

    def make(**settings: Any) -> Runtime:
        defaults = {**server.settings, **site_settings, "embeddings_enabled": False}
        return make_runtime(**{**defaults, **settings})

    return make


def calls(runtime: Runtime) -> list[LanguageModelCall]:
    with runtime.reading() as session:
        rows = session.execute(select(LanguageModelCall).order_by(LanguageModelCall.id))
        return list(rows.scalars())


def committed(runtime: Runtime) -> int:
    with runtime.reading() as session:
        query = select(func.sum(SpendingDay.committed_micros)).where(SpendingDay.user_id == 0)
        return int(session.execute(query).scalar_one() or 0)


def most() -> int:
    """Return the most that one question of the drills can cost, in millionths of a dollar."""
    bound = DESCRIBE.bound
    price = PriceTable().of("gpt-4o-mini")
    assert price is not None
    return price.cost_micros(bound.input_tokens, bound.output_tokens)


def ask(runtime: Runtime, timeout_s: float = 5.0) -> None:
    question = replace(DESCRIBE, timeout_s=timeout_s)
    with paying.paid_call(runtime, Order(spending.CAPTION, "9f86", ANA), question):
        pass


def expansion_job(runtime: Runtime, owner_id: int | None = None) -> Job:
    """Have "cat" asked about once, in this thread, and return the job."""
    expansion_within(runtime, "cat", 0, owner_id=owner_id)
    with runtime.transaction() as session:
        session.execute(update(Job).values(next_run_at_ms=1))
    with runtime.reading() as session:
        job = session.execute(select(Job)).scalar_one()
    assert run_job(runtime, job.id)
    with runtime.reading() as session:
        return session.get_one(Job, job.id)


def test_whatever_is_asked_is_recorded_with_its_cost(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    requests: list[Request[Any]] = [
        DESCRIBE,
        replace(DESCRIBE, picture=PNG),
        TextsToEmbed("text-embedding-3-small", ["a cat"] * 50),
        PictureToDraw("gpt-image-2", "a cat", "1024x1024"),
    ]
    for request in requests:
        with paying.paid_call(runtime, Order(spending.DRAWING, "key", ANA), request):
            pass

    costs = [(call.model, call.state, call.cost_micros) for call in calls(runtime)]
    # 120 x 0.15 + 45 x 0.60; 350 x 0.02; 12 x 5 + 1,056 x 30.
    assert costs == [
        ("gpt-4o-mini", CallState.PAID, 45),
        ("gpt-4o-mini", CallState.PAID, 45),
        ("text-embedding-3-small", CallState.PAID, 7),
        ("gpt-image-2", CallState.PAID, 31_740),
    ]
    assert all(call.reserved_micros >= (call.cost_micros or 0) for call in calls(runtime))
    assert committed(runtime) == 31_837
    assert server.paid == {CHAT: 2, EMBEDDINGS: 1, DRAWINGS: 1}


def test_an_expansion_is_recorded_for_whoever_wanted_it(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()

    job = expansion_job(runtime, owner_id=ANA)

    (call,) = calls(runtime)
    assert job.state == JobState.DONE
    assert (call.purpose, call.subject, call.user_id, call.job_id) == (
        "expansion",
        "label:cat",
        ANA,
        job.id,
    )
    # 120 x 0.10 + 45 x 0.50.
    assert (call.state, call.model, call.cost_micros) == (CallState.PAID, "gpt-6-luna", 35)


def test_a_reached_budget_makes_a_job_wait_for_tomorrow_and_costs_it_no_attempt(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying(llm_daily_budget_usd=0.000001)

    for _ in range(7):
        job = expansion_job(runtime)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)

    assert "LLM_DAILY_BUDGET_USD" in (job.last_error or "")
    now_ms = time.time() * 1000
    midnight_ms = (now_ms // spending.DAY_MS + 1) * spending.DAY_MS
    assert midnight_ms - 5_000 <= job.next_run_at_ms
    assert job.next_run_at_ms <= midnight_ms + (spending.SPREAD_S + 120) * 1000
    assert (server.calls, calls(runtime)) == ([], [])

    richer = make_paying(llm_daily_budget_usd=1, data_dir=runtime.settings.data_dir)
    assert expansion_job(richer).state == JobState.DONE


def test_being_told_to_wait_costs_a_job_no_attempt_and_a_failure_does(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    server.next.extend([failure(429, retry_after="2")] * 4)
    assert [expansion_job(runtime).attempts for _ in range(4)] == [0, 0, 0, 0]
    server.next.append(failure(500))
    assert expansion_job(runtime).attempts == 1
    assert expansion_job(runtime).state == JobState.DONE
    assert [call.state for call in calls(runtime)] == [CallState.FREE] * 5 + [CallState.PAID]


def test_an_open_circuit_reserves_nothing_and_keeps_jobs(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    server.next.extend([failure(500)] * 5)
    for _ in range(5):
        with pytest.raises(Unavailable):
            ask(runtime)
    with pytest.raises(CircuitOpen):
        ask(runtime)

    job = expansion_job(runtime)

    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert "left alone" in (job.last_error or "")
    assert (len(calls(runtime)), committed(runtime), len(server.calls)) == (5, 0, 5)


def test_silence_counts_at_its_most(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    server.next.append(Answer(body=b"{}", pause_s=30))
    with pytest.raises(Unavailable):
        ask(runtime, timeout_s=0.3)
    assert [call.state for call in calls(runtime)] == [CallState.UNKNOWN]
    assert committed(runtime) == most()


def test_without_a_key_nothing_is_reserved(make_paying: Callable[..., Runtime]) -> None:
    runtime = make_paying(openai_api_key=None)
    with pytest.raises(LanguageModelRefused, match="OPENAI_API_KEY is not set"):
        ask(runtime)
    assert calls(runtime) == []


def test_an_answer_is_kept_though_its_cost_cannot_be_written(
    make_paying: Callable[..., Runtime],
    server: OpenAiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("The database is busy writing; try again shortly.")

    runtime = make_paying()
    monkeypatch.setattr(spending, "settle", fail)

    ask(runtime)

    assert [call.state for call in calls(runtime)] == [CallState.RESERVED]
    assert committed(runtime) == most()


def test_a_server_that_misbehaves_is_paid_for_what_it_answered_and_no_more(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    # One of the sixty hangs.
    server.weather = Weather(busy=0.33, broken=0.1, hanging=0.03, seed=15)
    ends = []
    for _ in range(60):
        runtime.circuit.answered()
        try:
            ask(runtime, timeout_s=1.5)
            ends.append(CallState.PAID)
        except Unavailable as error:
            ends.append(CallState.UNKNOWN if error.code == "no_answer" else CallState.FREE)

    assert [call.state for call in calls(runtime)] == ends
    assert set(ends) == {CallState.PAID, CallState.FREE, CallState.UNKNOWN}
    assert server.paid[CHAT] == ends.count(CallState.PAID)
    assert committed(runtime) == 45 * ends.count(CallState.PAID) + most() * ends.count(
        CallState.UNKNOWN
    )


# Several processes.


def start(runtime: Runtime, server: OpenAiServer, *arguments: str, **more: str) -> Any:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "MIRADA_ENV_FILE": os.devnull,
        "DATABASE_URL": runtime.settings.url.render_as_string(hide_password=False),
        "DATA_DIR": str(runtime.settings.data_dir),
        **{name.upper(): value for name, value in server.settings.items()},
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "testing.spending_process", *arguments],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: Any) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_several_processes_never_pass_one_budget(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    # Room for twenty answers, and then for less than one more question.
    limit = 20 * 45 + most() - 1
    budget = {"LLM_DAILY_BUDGET_USD": f"{usd(limit):.6f}"}
    processes = [start(runtime, server, "4", "10", **budget) for _ in range(3)]
    for process in processes:
        go(process)
    ends = [json.loads(process.communicate(timeout=120)[0]) for process in processes]

    answered = sum(end.get("answered", 0) for end in ends)
    assert sum(sum(end.values()) for end in ends) == 120
    assert {code for end in ends for code in end} == {"answered", BudgetReached.code}
    assert answered == server.paid[CHAT] == len(calls(runtime))
    assert answered >= 1
    assert committed(runtime) == 45 * answered <= limit
    # What others had reserved kept some questions out; alone, the rest of the money is spent.
    alone = start(runtime, server, "1", "40", **budget)
    go(alone)
    alone.communicate(timeout=120)
    assert server.paid[CHAT] == 20
    assert committed(runtime) == 20 * 45


def test_a_killed_process_is_counted_at_its_most(
    make_paying: Callable[..., Runtime], server: OpenAiServer
) -> None:
    runtime = make_paying()
    server.usual[CHAT] = lambda call: Answer(504, b"{}", pause_s=30)
    process = start(runtime, server, "1", "1")
    go(process)
    watch = Stopwatch()
    while not server.calls:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.02)
    process.kill()
    process.communicate()

    assert [call.state for call in calls(runtime)] == [CallState.RESERVED]
    assert committed(runtime) == most()
    with runtime.transaction() as session:
        session.execute(update(LanguageModelCall).values(job_id=1, lease_token="dead"))
    Sweeper(runtime).sweep()
    assert [call.state for call in calls(runtime)] == [CallState.UNKNOWN]
    assert committed(runtime) == most()
    with runtime.transaction() as session:
        assert sweep.give_up_lost_calls(session) == 0
