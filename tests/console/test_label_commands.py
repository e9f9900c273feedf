"""`mirada labels expand` on a real app, with a loopback language model and real job threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from mirada.db.classifier_models import LabelExpansion
from mirada.db.models import Job
from mirada.kernel.labels import DEFAULT_LABELS
from mirada.runtime import Runtime
from testing.console import run_command
from testing.openai_server import CHAT, OpenAiServer, completion, expansion_of, openai_serving
from workers.in_process import InProcessWorker


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = lambda call: completion(
            expansion_of(json.loads(call.body["messages"][1]["content"])["label"])
        )
        yield server


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime], server: OpenAiServer) -> Runtime:
    return make_runtime(embeddings_enabled=False, **server.settings)


@pytest.fixture
def working(runtime: Runtime) -> Iterator[Runtime]:
    workers = InProcessWorker(runtime, threads=4)
    workers.start()
    yield runtime
    workers.stop()


def run(runtime: Runtime, *arguments: str, code: int = 0) -> str:
    result = run_command(runtime, "labels", "expand", *arguments)
    assert result.exit_code == code, result.output
    return str(result.output)


def count(runtime: Runtime, table: Any) -> int:
    with runtime.reading() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def test_the_default_set_is_expanded_and_only_once(working: Runtime, server: OpenAiServer) -> None:
    assert f"{len(DEFAULT_LABELS)} were expanded" in run(working)
    assert len(server.calls) == len(DEFAULT_LABELS) == count(working, LabelExpansion)

    output = run(working)

    assert f"{len(DEFAULT_LABELS)} labels are expanded already" in output
    assert "0 were expanded" in output
    assert len(server.calls) == len(DEFAULT_LABELS)


def test_named_labels_are_normalised_and_failures_asked_about_again(
    working: Runtime, server: OpenAiServer
) -> None:
    server.next.append(completion("garbage"))

    output = run(working, "--labels", " cat,  big   dog ,cat", code=1)

    assert "1 were expanded" in output
    assert output.count("failed:") == 1
    assert "The expansion is not JSON." in output
    assert "1 labels are expanded already.\n\n1 were expanded." in run(
        working, "--labels", "cat,big dog"
    )
    assert len(server.calls) == 3


def test_labels_may_be_queued_for_later(runtime: Runtime, server: OpenAiServer) -> None:
    assert "2 are queued" in run(runtime, "--labels", "cat,dog", "--no-wait")
    assert "2 are queued" in run(runtime, "--labels", "cat,dog", "--no-wait")

    assert (count(runtime, Job), server.calls) == (2, [])


@pytest.mark.parametrize(
    "settings", [{"openai_api_key": None}, {"enable_llm_label_expansion": False}]
)
def test_nothing_is_queued_without_a_key_or_switched_off(
    make_runtime: Callable[..., Runtime], server: OpenAiServer, settings: dict[str, Any]
) -> None:
    runtime = make_runtime(**{**server.settings, **settings})

    assert "set OPENAI_API_KEY" in run(runtime, code=1)

    assert count(runtime, Job) == 0


def test_a_bad_label_is_named_before_anything_is_queued(runtime: Runtime) -> None:
    for names in ("cat,,dog", "cat,\u202egod", "cat," + "x" * 101, ""):
        assert "Error: A name" in run(runtime, "--labels", names, code=1)

    assert count(runtime, Job) == 0


def test_labels_that_wait_for_a_mended_key_are_not_waited_for(
    make_runtime: Callable[..., Runtime], server: OpenAiServer
) -> None:
    settings = {**server.settings, "openai_api_key": "sk-WRONG"}
    runtime = make_runtime(embeddings_enabled=False, **settings)
    workers = InProcessWorker(runtime, threads=1)
    workers.start()
    try:
        said = run(runtime, "--labels", "cat,dog", code=1)
    finally:
        workers.stop()
    assert "put off: cat:" in said
    assert "put off: dog:" in said
    assert "refuses OPENAI_API_KEY" in said
