"""A picture is shown, texts are embedded, a picture is drawn: one call each, and nothing believed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mirada.adapters.language_model import openai as adapter
from mirada.adapters.language_model.openai import (
    MAX_PICTURE_BYTES,
    MAX_REPLY_BYTES,
    MAX_VECTORS_BYTES,
    OpenAiLanguageModel,
)
from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import (
    GarbledReply,
    InvalidInput,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    ModelUnusable,
    NoAnswer,
    TooManyRequests,
)
from mirada.kernel.model_requests import PictureToDraw, Question, Reply, TextsToEmbed
from testing.openai_server import (
    CHAT,
    DRAWINGS,
    EMBEDDINGS,
    KEY,
    Answer,
    OpenAiServer,
    StaysClosed,
    completion,
    drawing,
    embeddings,
    failure,
    html,
    openai_serving,
    picture_in,
    vector_of,
)
from testing.pictures import picture

SCHEMA = {
    "title": "caption",
    "type": "object",
    "properties": {"caption": {"type": "string"}},
    "required": ["caption"],
    "additionalProperties": False,
}
SAID = '{"caption": "a cat"}'
PNG = picture(1)


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with openai_serving() as server:
        server.usual[CHAT] = lambda call: completion(SAID)
        server.usual[DRAWINGS] = lambda call: drawing(PNG)
        yield server


@pytest.fixture
def model(server: OpenAiServer) -> Iterator[OpenAiLanguageModel]:
    model = OpenAiLanguageModel(KEY, server.base_url, StaysClosed())
    yield model
    model.close()


def see(model: OpenAiLanguageModel, shown: bytes = PNG) -> Reply:
    return model.call(Question("gpt-4o-mini", "Describe.", "{}", SCHEMA, 90, shown))


def embed(model: OpenAiLanguageModel, *texts: str) -> Any:
    return model.call(TextsToEmbed("text-embedding-3-small", texts))


def draw(model: OpenAiLanguageModel, name: str = "gpt-image-2", **options: Any) -> Any:
    return model.call(PictureToDraw(name, "a cat in the rain", "1024x1024", **options))


@pytest.mark.parametrize(
    ("shown", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0 and so on", "image/jpeg"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_a_picture_is_shown_inside_the_question(
    server: OpenAiServer, model: OpenAiLanguageModel, shown: bytes, media_type: str
) -> None:
    assert see(model, shown) == Reply(SAID, input_tokens=120, output_tokens=45)

    (call,) = server.calls
    system, user = call.body["messages"]
    assert system == {"role": "system", "content": "Describe."}
    text, image = user["content"]
    assert text == {"type": "text", "text": "{}"}
    assert image["image_url"]["detail"] == "low"
    assert image["image_url"]["url"].startswith(f"data:{media_type};base64,")
    assert picture_in(call) == shown
    assert call.body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert server.paid[CHAT] == 1


def test_what_is_no_picture_is_never_sent(server: OpenAiServer, model: OpenAiLanguageModel) -> None:
    for bytes_ in (b"", b"GIF89a", b"<svg>", b"RIFF....WAVE"):
        with pytest.raises(InvalidInput):
            see(model, bytes_)
    assert server.calls == []


def test_texts_are_embedded_in_one_call_and_in_their_order(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    found = embed(model, "a cat", "um coração 💔", "a cat")

    (call,) = server.calls
    assert call.path == EMBEDDINGS
    assert call.body == {
        "model": "text-embedding-3-small",
        "input": ["a cat", "um coração 💔", "a cat"],
        "encoding_format": "float",
    }
    assert found.vectors.dtype == np.float32
    expected = l2_normalise([vector_of(text) for text in call.body["input"]])
    np.testing.assert_array_equal(found.vectors, expected)
    assert (found.input_tokens, found.output_tokens) == (21, 0)


def test_vectors_are_put_into_the_order_that_the_server_numbers(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    data = [{"index": 1, "embedding": [0, 3.0]}, {"index": 0, "embedding": [2, 0]}]
    server.next.append(embeddings([], data=data))

    np.testing.assert_array_equal(embed(model, "a", "b").vectors, [[1, 0], [0, 1]])


def test_vectors_in_base64_are_vectors_too(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    packed = base64.b64encode(np.array([0, 5], "<f4").tobytes()).decode()
    server.next.append(embeddings([packed]))
    np.testing.assert_array_equal(embed(model, "a cat").vectors, [[0, 1]])


def test_a_drawing_in_a_data_address_or_in_lines_is_taken(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    encoded = base64.b64encode(PNG).decode()
    for sent in (f"data:image/png;base64,{encoded}", base64.encodebytes(PNG).decode()):
        server.next.append(drawing(b64_json=sent))
        assert draw(model).picture == PNG


@pytest.mark.parametrize(
    "answer",
    [
        html(),
        Answer(body=b""),
        Answer(body=b"[" * 100_000),
        embeddings([]),
        embeddings([[1.0, 2.0]]),
        embeddings([[1.0, 2.0]] * 3),
        embeddings([[1.0, 2.0], [1.0]]),
        embeddings([[], []]),
        embeddings([[1.0, 2.0], [float("nan"), 1.0]]),
        embeddings([[1.0, 2.0], [float("inf"), 1.0]]),
        embeddings([[1.0, 2.0], [0.0, 0.0]]),
        embeddings([[1.0, 2.0], ["1.0", 2.0]]),
        embeddings([[1.0, 2.0], [True, 2.0]]),
        embeddings([[1.0, 2.0], [None, 2.0]]),
        embeddings([[1.0, 2.0], [[1.0], 2.0]]),
        embeddings([[1.0, 2.0], [10**400, 2.0]]),
        embeddings([[1.0, 2.0], "AAAAAA=="]),
        embeddings([], data={"0": [1.0]}),
        embeddings([], data=[{"index": 0, "embedding": [1.0]}] * 2),
        embeddings([], data=[{"index": [], "embedding": [1.0]}] * 2),
        embeddings([], data=[None, None]),
        Answer(body=b" " * (MAX_VECTORS_BYTES + 1)),
    ],
    ids=range(22),
)
def test_vectors_that_are_none_are_refused(
    server: OpenAiServer, model: OpenAiLanguageModel, answer: Answer
) -> None:
    server.next.append(answer)

    with pytest.raises(GarbledReply):
        embed(model, "a cat", "a dog")

    assert len(embed(model, "a cat").vectors) == 1


def test_nothing_and_too_much_are_not_embedded(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    for texts in ((), ("a cat", ""), ("a cat",) * (adapter.MAX_TEXTS + 1)):
        with pytest.raises(InvalidInput):
            embed(model, *texts)
    assert server.calls == []
    assert embed(model, *["a cat"] * adapter.MAX_TEXTS).vectors.shape == (256, 1536)


def test_a_picture_is_drawn_in_one_call(server: OpenAiServer, model: OpenAiLanguageModel) -> None:
    drawn = draw(model)

    assert (drawn.picture, drawn.input_tokens, drawn.output_tokens) == (PNG, 12, 1056)
    (call,) = server.calls
    assert call.path == DRAWINGS
    assert call.body == {
        "model": "gpt-image-2",
        "prompt": "a cat in the rain",
        "size": "1024x1024",
        "n": 1,
    }


def test_a_local_server_is_asked_for_the_bytes(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    assert draw(model, "stable-diffusion").picture == PNG
    assert server.calls[0].body["response_format"] == "b64_json"


def test_an_address_of_the_servers_own_is_fetched_without_the_key(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    origin = server.base_url.removesuffix("/v1")
    server.next.append(drawing(url=f"{origin}/made/1.png"))
    server.usual["/made/1.png"] = lambda call: Answer(body=PNG, media_type="image/png")

    assert draw(model, "stable-diffusion").picture == PNG

    assert server.calls[1].path == "/made/1.png"
    assert "authorization" not in server.calls[1].headers
    assert not any("SECRET" in value for value in server.calls[1].headers.values())


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/1.png",
        "http://localhost/1.png",
        "https://example.com/1.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "//127.0.0.1/1.png",
        "/1.png",
        "http://[",
    ],
)
def test_an_address_of_anybody_elses_is_never_fetched(
    server: OpenAiServer, model: OpenAiLanguageModel, address: str
) -> None:
    server.next.append(drawing(url=address))

    with pytest.raises(GarbledReply, match="address"):
        draw(model, "stable-diffusion")

    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "fetched",
    [failure(404), failure(302, location="/v1/secrets"), Answer(body=b""), Answer(pause_s=30)],
    ids=["absent", "elsewhere", "empty", "hanging"],
)
def test_a_picture_that_is_not_at_its_address_is_none(
    server: OpenAiServer, model: OpenAiLanguageModel, fetched: Answer
) -> None:
    server.next.append(drawing(url=f"{server.base_url}/1.png"))
    server.usual["/v1/1.png"] = lambda call: fetched

    with pytest.raises(GarbledReply):
        draw(model, "stable-diffusion", timeout_s=0.5)

    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        html(),
        drawing(),
        drawing(b64_json="not base64!"),
        drawing(b64_json=["AAAA"]),
        drawing(b64_json=""),
        drawing(url=7),
        Answer(body=json.dumps({"data": []}).encode()),
        Answer(body=b" " * (MAX_PICTURE_BYTES + 1)),
        Answer(500, b" " * (MAX_REPLY_BYTES + 1)),
    ],
    ids=range(9),
)
def test_a_drawing_that_is_none_is_refused(
    server: OpenAiServer, model: OpenAiLanguageModel, answer: Answer
) -> None:
    server.next.append(answer)

    with pytest.raises(GarbledReply):
        draw(model)


def test_trouble_is_told_alike_whatever_was_asked(
    server: OpenAiServer, model: OpenAiLanguageModel
) -> None:
    for put in (lambda: see(model), lambda: embed(model, "a cat"), lambda: draw(model)):
        server.next.append(failure(429, retry_after="17"))
        with pytest.raises(TooManyRequests) as caught:
            put()
        assert caught.value.retry_after_s == 17


def test_a_slow_drawing_ends_in_time(server: OpenAiServer, model: OpenAiLanguageModel) -> None:
    body = base64.b64encode(PNG)
    server.next.append(Answer(body=body, pieces=1_000, pause_s=0.05))

    with pytest.raises(NoAnswer):
        draw(model, timeout_s=0.4)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (failure(400, "moderation_blocked"), LanguageModelRefused, "declined by the rules"),
        (failure(400, "content_policy_violation"), LanguageModelRefused, "declined by the rules"),
        (failure(400, "invalid_value"), LanguageModelRefused, "the size"),
        (failure(403), LanguageModelRefused, "GENERATION_MODEL"),
        (failure(404, "model_not_found"), ModelUnusable, "has no gpt-image-2"),
        (failure(400, "billing_hard_limit_reached"), TooManyRequests, "asked again later"),
        (failure(401, "invalid_api_key"), KeyRefused, "OPENAI_API_KEY"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_refused_drawing_says_what_to_do(
    server: OpenAiServer,
    model: OpenAiLanguageModel,
    answer: Answer,
    kind: type[MiradaError],
    said: str,
) -> None:
    server.next.append(answer)

    with pytest.raises(kind, match=said) as caught:
        draw(model)

    assert isinstance(caught.value, KeyRefused) is (kind is KeyRefused)
    assert "SECRET" not in str(caught.value)
