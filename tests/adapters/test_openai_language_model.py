"""One question, one HTTP call, and an end in time: whatever the server behind it does."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mirada.adapters.language_model import failures
from mirada.adapters.language_model import openai as adapter
from mirada.adapters.language_model.openai import MAX_REPLY_BYTES, OpenAiLanguageModel
from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    NoAnswer,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)
from mirada.kernel.model_requests import Question, Reply
from mirada.ports import LanguageModel
from testing.openai_server import (
    CHAT,
    KEY,
    Answer,
    OpenAiServer,
    StaysClosed,
    completion,
    failure,
    html,
    in_json,
    openai_serving,
)
from testing.patience import Stopwatch

SCHEMA = {
    "title": "animal",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
ABSURD = {"prompt_tokens": 10**30, "completion_tokens": True}
SAID = '{"name": "cat"}'


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = lambda call: completion(SAID)
        yield server


@pytest.fixture
def model(server: OpenAiServer) -> Iterator[OpenAiLanguageModel]:
    model = OpenAiLanguageModel(KEY, server.base_url, StaysClosed())
    yield model
    model.close()


def ask(model: LanguageModel, **options: Any) -> Reply:
    options = {"schema": SCHEMA, "max_tokens": 50, "timeout_s": 5.0, **options}
    return model.call(Question("gpt-4.1-mini", "Name an animal.", '{"sound": "meow"}', **options))


def test_a_question_is_one_call_in_the_servers_format(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    assert ask(model) == Reply(SAID, input_tokens=120, output_tokens=45)

    (call,) = server.calls
    assert call.path == CHAT
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body == {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "Name an animal."},
            {"role": "user", "content": '{"sound": "meow"}'},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "animal", "schema": SCHEMA, "strict": True},
        },
        "max_tokens": 50,
    }


def test_openai_itself_is_told_the_limit_by_its_newer_name(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "OPENAI_URL", server.base_url)
    # The SDK would read this itself; settings alone say where questions go.
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    model = OpenAiLanguageModel(KEY, None, StaysClosed())

    assert ask(model).text == SAID

    assert server.calls[0].body["max_completion_tokens"] == 50
    assert "max_tokens" not in server.calls[0].body
    model.close()


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_trouble_that_may_pass_is_asked_again_by_somebody_else(
    server: OpenAiServer, model: OpenAiLanguageModel, status: int
) -> None:
    server.next.append(failure(status, "rate_limit_exceeded", retry_after="17"))

    with pytest.raises(Unavailable, match=f"{status} rate_limit_exceeded") as caught:
        ask(model)

    assert not isinstance(caught.value, (LanguageModelRefused, UnusableReply, NoAnswer))
    assert isinstance(caught.value, TooManyRequests) == (status == 429)
    assert caught.value.retry_after_s == 17
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [504, 524])
def test_a_gateway_that_gave_up_has_seen_no_answer_and_it_may_be_paid_for(
    server: OpenAiServer, model: OpenAiLanguageModel, status: int
) -> None:
    server.next.append(html(status))

    with pytest.raises(NoAnswer, match=str(status)):
        ask(model)


def test_an_account_without_money_is_left_alone_for_longer(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    server.next.append(failure(429, "insufficient_quota"))

    with pytest.raises(TooManyRequests) as caught:
        ask(model)

    assert caught.value.retry_after_s == failures.OUT_OF_MONEY_WAIT_S


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows another time than UTC."""
    monkeypatch.setenv("TZ", "UTC+3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        (lambda: (datetime.now(UTC) + timedelta(seconds=40)).strftime("%a %b %d %H:%M:%S %Y"), 40),
        ("0.2", 1),
        ("90", 90),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True), 40),
        ("999999999", failures.MAX_RETRY_AFTER_S),
        ("inf", failures.MAX_RETRY_AFTER_S),
        ("nan", failures.RETRY_AFTER_S),
        ("-3", failures.RETRY_AFTER_S),
        ("soon", failures.RETRY_AFTER_S),
        ("Thu, 01 Jan 1970 00:00:00 GMT", failures.RETRY_AFTER_S),
    ],
)
def test_retry_after_is_read_in_both_its_forms(
    server: OpenAiServer,
    model: OpenAiLanguageModel,
    header: str | Callable[[], str],
    expected_s: int,
) -> None:
    told = header if isinstance(header, str) else header()
    server.next.append(failure(429, retry_after=told))

    with pytest.raises(Unavailable) as caught:
        ask(model)

    assert caught.value.retry_after_s == pytest.approx(expected_s, abs=2 if expected_s == 40 else 0)


@pytest.mark.parametrize(
    "answer",
    [
        html(),
        completion(None),
        completion(""),
        completion(None, refusal="I cannot help with that."),
        completion('{"name": "c', finish_reason="length"),
        completion(SAID, finish_reason="content_filter"),
        Answer(body=b""),
        Answer(body=b"not json"),
        Answer(body=b"[" * 100_000),
        Answer(body=b"\xff\xfe\x00"),
        Answer(body=b" " * (MAX_REPLY_BYTES + 1)),
        Answer(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        in_json(None),
        in_json([]),
        in_json({"choices": []}),
        in_json({"choices": {}}),
        in_json({"choices": [None]}),
        in_json({"choices": [{"message": "cat"}]}),
        in_json({"choices": [{"message": {"content": {"name": "cat"}}}]}),
    ],
    ids=range(19),
)
def test_a_reply_that_is_none_is_refused(
    server: OpenAiServer, model: OpenAiLanguageModel, answer: Answer
) -> None:
    server.next.append(answer)

    with pytest.raises(UnusableReply):
        ask(model)

    assert len(server.calls) == 1
    assert ask(model).text == SAID


def test_only_a_reply_of_no_known_format_is_the_servers_fault(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    server.next.extend([html(), completion(None, refusal="No."), completion("{", "length")])
    errors = []
    for _ in range(3):
        with pytest.raises(UnusableReply) as caught:
            ask(model)
        errors.append(caught.value)

    assert [isinstance(error, GarbledReply) for error in errors] == [True, False, False]
    assert [error.input_tokens for error in errors] == [None, 120, 120]
    assert [error.output_tokens for error in errors] == [None, 45, 45]


def test_a_server_that_counts_no_tokens_is_understood(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    choices = [{"message": {"content": SAID}}]
    for usage in (None, [], {"prompt_tokens": "many", "completion_tokens": -1}, ABSURD):
        server.next.append(in_json({"choices": choices, "usage": usage}))
        assert ask(model) == Reply(SAID, input_tokens=None, output_tokens=None)


def test_an_answer_in_parts_is_put_together(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    parts = [{"type": "text", "text": SAID[:5]}, {"type": "text", "text": SAID[5:]}, "?"]
    server.next.append(in_json({"choices": [{"message": {"content": parts}}]}))
    assert ask(model).text == SAID


def test_an_error_page_without_end_is_not_read_to_its_end(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    server.next.append(Answer(500, b"x" * (MAX_REPLY_BYTES + 1)))

    with pytest.raises(UnusableReply, match="over"):
        ask(model)


@pytest.mark.parametrize(
    "answer",
    [Answer(body=b"{}", pause_s=30), Answer(body=b" " * 1_000, pieces=1_000, pause_s=0.05)],
    ids=["says nothing", "drips"],
)
def test_a_slow_server_is_waited_for_no_longer_than_allowed(
    server: OpenAiServer, model: OpenAiLanguageModel, answer: Answer
) -> None:
    server.next.append(answer)
    watch = Stopwatch()

    with pytest.raises(NoAnswer, match="in time"):
        ask(model, timeout_s=0.4)

    assert watch.seconds < 3
    assert len(server.calls) == 1


def test_a_server_that_is_not_there_is_unavailable(server: OpenAiServer) -> None:
    model = OpenAiLanguageModel(KEY, "http://127.0.0.1:9/v1", StaysClosed())
    with pytest.raises(Unavailable, match="OPENAI_BASE_URL") as caught:
        ask(model)
    assert not isinstance(caught.value, NoAnswer), "what never arrived cannot have been paid for"
    model.close()


@pytest.mark.parametrize("status", [400, 403, 404, 422, 302])
def test_a_request_that_is_wrong_is_not_worth_another_try(
    server: OpenAiServer, model: OpenAiLanguageModel, status: int
) -> None:
    server.next.append(failure(status, "model_not_found", location="/elsewhere"))

    with pytest.raises(LanguageModelRefused, match=f"{status} model_not_found") as caught:
        ask(model)

    assert not isinstance(caught.value, KeyRefused), "others may be asked with the same key"

    assert len(server.calls) == 1


def test_a_refused_key_is_told_once(server: OpenAiServer, caplog: pytest.LogCaptureFixture) -> None:
    model = OpenAiLanguageModel("sk-wrong", server.base_url, StaysClosed())

    for _ in range(3):
        with pytest.raises(KeyRefused, match="OPENAI_API_KEY"):
            ask(model)

    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "Set a valid key" in told[0].getMessage()
    model.close()


def test_the_key_is_in_no_log_and_in_no_error(
    server: OpenAiServer, model: OpenAiLanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for answer in (failure(401), failure(404, KEY), failure(429, KEY), html(500), completion(SAID)):
        server.next.append(answer)
        try:
            ask(model)
        except MiradaError as error:
            logging.getLogger("tests").exception("It failed")
            said.append(f"{error!r} {error.detail}")

    assert len(said) == 4
    assert caplog.records
    assert not any("SECRET" in text for text in [*said, caplog.text])


def test_the_schema_is_sent_as_json(server: OpenAiServer, model: OpenAiLanguageModel) -> None:
    ask(model, schema={**SCHEMA, "description": "um animal: coração"})

    sent = server.calls[0].body["response_format"]["json_schema"]["schema"]
    assert json.dumps(sent, ensure_ascii=False).count("coração") == 1
