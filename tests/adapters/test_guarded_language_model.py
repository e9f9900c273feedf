"""Behind the breaker: what opens it, what does not, and that an open one sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirada.adapters.language_model.openai import OpenAiLanguageModel
from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.errors import CircuitOpen, InvalidInput, Unavailable
from mirada.kernel.model_requests import PictureToDraw, Question, TextsToEmbed
from testing.openai_server import (
    CHAT,
    DRAWINGS,
    KEY,
    Answer,
    OpenAiServer,
    completion,
    drawing,
    failure,
    html,
    openai_serving,
)
from testing.pictures import picture

SCHEMA = {
    "title": "animal",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
PNG = picture(1)


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = lambda call: completion('{"name": "cat"}')
        server.usual[DRAWINGS] = lambda call: drawing(PNG)
        yield server


@pytest.fixture
def make(server: OpenAiServer) -> Iterator[Callable[..., OpenAiLanguageModel]]:
    made: list[OpenAiLanguageModel] = []

    def make(key: str = KEY, **options: Any) -> OpenAiLanguageModel:
        breaker = CircuitBreaker(**options)
        made.append(OpenAiLanguageModel(key, server.base_url, breaker))
        return made[-1]

    yield make
    for model in made:
        model.close()


def ask(model: OpenAiLanguageModel) -> str:
    question = Question("gpt-4.1-mini", "Name an animal.", "{}", SCHEMA, 9, timeout_s=0.4)
    return model.call(question).text


def see(model: OpenAiLanguageModel, shown: bytes) -> str:
    return model.call(Question("gpt-4o-mini", "See.", "{}", SCHEMA, 9, shown)).text


def put_all(model: OpenAiLanguageModel) -> list[Callable[[], Any]]:
    """Return one question of each sort."""
    return [
        lambda: ask(model),
        lambda: see(model, PNG),
        lambda: model.call(TextsToEmbed("text-embedding-3-small", ["cat"])),
        lambda: model.call(PictureToDraw("gpt-image-2", "cat", "1024x1024")),
    ]


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (failure(500), True),
        (html(503), True),
        (html(), True),
        (Answer(body=b"{}", pause_s=30), True),
        (failure(429), True),
        (failure(400), False),
        (failure(404, "model_not_found"), False),
        (completion(None, refusal="No."), False),
        (completion("{", finish_reason="length"), False),
    ],
    ids=["500", "503", "HTML", "hang", "429", "400", "404", "declined", "cut off"],
)
def test_five_troubles_of_the_server_open_it_and_five_of_the_question_do_not(
    server: OpenAiServer,
    make: Callable[..., OpenAiLanguageModel],
    answer: Answer,
    opens: bool,
) -> None:
    model = make()
    server.next.extend([answer] * 5)
    for _ in range(5):
        with pytest.raises(Unavailable) as caught:
            ask(model)
        assert not isinstance(caught.value, CircuitOpen)

    if not opens:
        assert ask(model) == '{"name": "cat"}'
        return
    for put in put_all(model):
        with pytest.raises(CircuitOpen):
            put()
    assert len(server.calls) == 5


def test_a_wrong_key_is_tried_once(
    server: OpenAiServer, make: Callable[..., OpenAiLanguageModel]
) -> None:
    model = make("sk-wrong")
    with pytest.raises(Unavailable):
        ask(model)
    for put in put_all(model):
        with pytest.raises(CircuitOpen, match="OPENAI_API_KEY"):
            put()
    assert len(server.calls) == 1


def test_whatever_is_asked_reaches_the_server_and_closes_it_again(
    server: OpenAiServer, make: Callable[..., OpenAiLanguageModel]
) -> None:
    clock = [0.0]
    model = make(clock=lambda: clock[0])
    for put in put_all(model):
        server.next.extend([failure(500)] * 5)
        for _ in range(5):
            with pytest.raises(Unavailable):
                put()
        with pytest.raises(CircuitOpen):
            model.check()
        clock[0] += 60
        put()
        model.check()
    assert len(server.calls) == 4 * 6


def test_a_question_that_was_never_sent_says_nothing_about_the_server(
    server: OpenAiServer, make: Callable[..., OpenAiLanguageModel]
) -> None:
    model = make()
    for _ in range(6):
        with pytest.raises(InvalidInput):
            see(model, b"GIF89a")
    model.check()
    assert server.calls == []
