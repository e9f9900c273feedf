"""A loopback server of OpenAI's wire format that misbehaves on request; one module, as one server."""

from __future__ import annotations

import base64
import json
import random
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mirada.kernel.circuit import CircuitBreaker
from testing.pictures import picture

KEY = "sk-test-0123456789abcdefSECRET"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
DRAWINGS = "/v1/images/generations"
DIMENSION = 1536


@dataclass(frozen=True)
class Call:
    """One request as it arrived; `body` is its decoded JSON."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What is sent back. The body goes out in `pieces`, with a pause before each."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    pieces: int = 1
    pause_s: float = 0.0


Answering = Callable[[Call], Answer]


def completion(text: str | None, finish_reason: str = "stop", **message: Any) -> Answer:
    """A chat completion that says `text`."""
    return in_json(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_795_000_000,
            "model": "gpt-4.1-mini-2025-04-14",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None, **message},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {"prompt_tokens": 120, "completion_tokens": 45, "total_tokens": 165},
        }
    )


@dataclass
class ReasoningModel:
    """A model that thinks before it answers, and is billed for it; it goes into `usual[CHAT]`.

    Attributes:
        says: the text of its answer to a call.
        thoughts: tokens it thinks, by `reasoning_effort`; another effort is refused as OpenAI does.
        usual: the effort of a request that names none.
        counts: whether it tells how many tokens were hidden; local servers do not.
    """

    says: Callable[[Call], str]
    thoughts: Mapping[str, int] = field(default_factory=lambda: {"low": 900, "medium": 9_000})
    usual: str = "medium"
    counts: bool = True

    def __call__(self, call: Call) -> Answer:
        if "max_tokens" in call.body and self.counts:
            return refused_parameter("max_tokens", "unsupported_parameter")
        effort = call.body.get("reasoning_effort", self.usual)
        if effort not in self.thoughts:
            return refused_parameter("reasoning_effort", "unsupported_value")
        limit = call.body.get("max_completion_tokens", call.body.get("max_tokens"))
        hidden, answer = self.thoughts[effort], 45
        if hidden + answer > limit:
            return thinking("", "length", limit, min(hidden, limit) if self.counts else None)
        return thinking(self.says(call), "stop", hidden + answer, hidden if self.counts else None)


def thinking(text: str, finish_reason: str, tokens: int, hidden: int | None) -> Answer:
    """A chat completion that is billed for `tokens`, `hidden` of which nobody sees."""
    details = {} if hidden is None else {"completion_tokens_details": {"reasoning_tokens": hidden}}
    usage = {"prompt_tokens": 120, "completion_tokens": tokens, "total_tokens": 120 + tokens}
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return in_json({"choices": [choice], "usage": {**usage, **details}})


def refused_parameter(name: str, code: str) -> Answer:
    """What OpenAI says of a parameter, or of its value, that a model does not take."""
    message = f"Unsupported: '{name}' is not supported with this model."
    error = {"message": message, "type": "invalid_request_error", "param": name, "code": code}
    return in_json({"error": error}, 400)


def vectors_for(call: Call, dimension: int = DIMENSION) -> Answer:
    """A vector for each text of the call: the same text always has the same one, no two alike."""
    texts = call.body["input"]
    texts = [texts] if isinstance(texts, str) else texts
    return embeddings([vector_of(text, dimension) for text in texts])


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """The numbers this server gives for a text; not of unit norm."""
    drawn = random.Random(text)
    return [round(drawn.gauss(0, 1), 6) for _ in range(dimension)]


def embeddings(vectors: list[Any], **changes: Any) -> Answer:
    """A reply of the embeddings API."""
    tokens = 7 * len(vectors)
    found = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": place, "embedding": vector}
            for place, vector in enumerate(vectors)
        ],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return in_json({**found, **changes})


def drawing(picture: bytes | None = None, **data: Any) -> Answer:
    """A reply of the images API: the bytes in base64, or whatever `data` names instead."""
    drawn = {} if picture is None else {"b64_json": base64.b64encode(picture).decode()}
    return in_json(
        {
            "created": 1_795_000_000,
            "background": "opaque",
            "data": [{**drawn, **data}],
            "output_format": "png",
            "quality": "medium",
            "size": "1024x1024",
            "usage": {
                "input_tokens": 12,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
                "output_tokens": 1056,
                "total_tokens": 1068,
            },
        }
    )


def drawn_of(prompt: str) -> bytes:
    """The picture this server draws for a prompt: the same each time, no two alike."""
    return picture(zlib.crc32(prompt.encode()), size=(96, 96))


def expansion_of(label: str, **changes: Any) -> str:
    """What a model says of a label when all goes well, or with some of it changed."""
    said = {
        "subtags": [f"happy {label}", f"sleepy {label}"],
        "style_traits": ["thick outline", "flat colours"],
        "emotions": ["joy"],
        "pack_suggestions": [f"A year of {label}"],
        "descriptions": [f"a drawing of {label}, with big eyes"],
    }
    return json.dumps({**said, **changes})


def failure(status: int, code: str | None = None, **headers: str) -> Answer:
    """An error in OpenAI's form, which repeats the key as some servers do."""
    error = {"message": f"Incorrect: {KEY}", "type": "some_error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return in_json({"error": error}, status, named)


def html(status: int = 200) -> Answer:
    """What a proxy in between says."""
    return Answer(status, b"<!doctype html><title>Bad gateway</title>", media_type="text/html")


def in_json(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(found).encode(), headers or {})


@dataclass
class Weather:
    """How often a server is out of order, by one seeded sequence: rates of all calls, in [0, 1].

    Attributes:
        busy: answered 429; every other time with a Retry-After, in seconds or as a date in turn.
        broken: answered 500.
        hanging: nothing is answered for `hang_s`.
        seed: the same seed, the same sequence of troubles in the order of arrival.
        retry_after: what a 429 says, where it says anything.
        hang_s: longer than anybody should wait.
    """

    busy: float = 0.0
    broken: float = 0.0
    hanging: float = 0.0
    seed: int = 1
    retry_after: str = "1"
    hang_s: float = 60.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._busy = 0

    def trouble(self) -> Answer | None:
        """What the next call meets with; None for an answer. Call it under a lock."""
        drawn = self._random.random()
        if drawn < self.busy:
            self._busy += 1
            headers = {"retry_after": self.retry_after} if self._busy % 2 else {}
            return failure(429, "rate_limit_exceeded", **headers)
        if drawn < self.busy + self.broken:
            return failure(500, "server_error")
        if drawn < self.busy + self.broken + self.hanging:
            # Were it ever to say something, it would be that it gave up: a hang is not paid for.
            return Answer(504, b"{}", pause_s=self.hang_s)
        return None


class StaysClosed(CircuitBreaker):
    """A circuit breaker that admits every request, so that a test sees how the server replies."""

    def admit(self) -> None:
        """Admit it, whatever came before."""


class OpenAiServer:
    """A running server. `usual` answers by path; what lies in `next` is used up first, in order.

    Models that are `gone` are answered 404 before that, and after it comes `weather`, when there is
    one. `paid` counts by path what OpenAI would send a bill for: calls that were answered with 200,
    whether or not the caller was still there.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.usual: dict[str, Answering] = {
            CHAT: lambda call: completion("{}"),
            EMBEDDINGS: vectors_for,
            DRAWINGS: lambda call: drawing(drawn_of(call.body["prompt"])),
        }
        self.gone: set[str] = set()
        self.next: deque[Answer] = deque()
        self.weather: Weather | None = None
        self.calls: list[Call] = []
        self.paid: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()
        self.is_closing = threading.Event()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that lead a runtime here."""
        return {"openai_api_key": KEY, "openai_base_url": self.base_url}

    def answer(self, call: Call) -> Answer:
        answer = self._answer(call)
        with self.lock:
            self.statuses[answer.status] += 1
        return answer

    def bill(self, call: Call, answer: Answer) -> None:
        """Note an answer that is going out."""
        if answer.status == 200:
            with self.lock:
                self.paid[call.path] += 1

    def _answer(self, call: Call) -> Answer:
        with self.lock:
            self.calls.append(call)
            if call.headers.get("authorization") != f"Bearer {KEY}":
                return failure(401, "invalid_api_key")
            fault = _fault(call)
            if fault is not None:
                return in_json({"error": {"message": fault, "code": None}}, 400)
            if call.body.get("model") in self.gone:
                return failure(404, "model_not_found")
            if self.next:
                return self.next.popleft()
            trouble = self.weather.trouble() if self.weather is not None else None
            if trouble is not None:
                return trouble
        answering = self.usual.get(call.path)
        return answering(call) if answering else failure(404, "unknown_url")


def _fault(call: Call) -> str | None:
    """Return what OpenAI's strict mode would not take; None when all is well."""
    if call.path == EMBEDDINGS:
        return _fault_of_embedding(call.body)
    if call.path == DRAWINGS:
        return _fault_of_drawing(call.body)
    if call.path != CHAT:
        return None
    if not call.body.get("model") or not call.body.get("messages"):
        return "you must provide a model and messages"
    for message in call.body["messages"]:
        fault = _fault_of_content(message["content"])
        if fault is not None:
            return fault
    form = call.body.get("response_format", {"type": "text"})
    if form["type"] != "json_schema":
        return None
    name, schema = form["json_schema"]["name"], form["json_schema"]["schema"]
    if not name.replace("_", "").replace("-", "").isalnum() or len(name) > 64:
        return "invalid name"
    if form["json_schema"].get("strict") and (
        schema.get("additionalProperties") is not False
        or set(schema["required"]) != set(schema["properties"])
    ):
        return "invalid schema"
    return None


def _fault_of_content(content: Any) -> str | None:
    if isinstance(content, str):
        return None
    for part in content:
        if part["type"] == "text":
            continue
        if part["type"] != "image_url":
            return "unknown part"
        head, _, data = part["image_url"]["url"].partition(",")
        if not (head.startswith("data:image/") and head.endswith(";base64")):
            return "invalid image url"
        if part["image_url"].get("detail", "auto") not in ("auto", "low", "high", "original"):
            return "invalid detail"
        if not base64.b64decode(data, validate=True):
            return "empty image"
    return None


def picture_in(call: Call) -> bytes:
    """The picture that a chat's last message shows."""
    (part,) = (p for p in call.body["messages"][-1]["content"] if p["type"] == "image_url")
    return base64.b64decode(part["image_url"]["url"].partition(",")[2])


def _fault_of_embedding(body: Any) -> str | None:
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not body.get("model") or not texts or not all(texts) or len(texts) > 2048:
        return "invalid input"
    return None


def _fault_of_drawing(body: Any) -> str | None:
    if not body.get("model") or not body.get("prompt"):
        return "you must provide a model and a prompt"
    if body["model"].startswith("gpt-image") and "response_format" in body:
        return "Unknown parameter: 'response_format'."
    return None


@contextmanager
def openai_serving() -> Iterator[OpenAiServer]:
    """Serve on a free port of this machine; what is still being said at the end is cut off."""
    server = OpenAiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.path, headers, json.loads(body))
            answer = server.answer(call)
            try:
                self._send(answer, call)
            except OSError:
                # The caller has hung up, as it should on a server like this.
                self.close_connection = True

        def do_GET(self) -> None:
            call = Call(self.path, {name.lower(): v for name, v in self.headers.items()}, None)
            with server.lock:
                server.calls.append(call)
            answering = server.usual.get(self.path)
            try:
                self._send(answering(call) if answering else failure(404, "unknown_url"), call)
            except OSError:
                self.close_connection = True

        def _send(self, answer: Answer, call: Call) -> None:
            size = -(-len(answer.body) // answer.pieces)
            for start in range(0, max(len(answer.body), 1), size or 1):
                if server.is_closing.wait(answer.pause_s):
                    self.close_connection = True
                    return
                if start == 0:
                    server.bill(call, answer)
                    self._begin(answer)
                self.wfile.write(answer.body[start : start + size])
                self.wfile.flush()

        def _begin(self, answer: Answer) -> None:
            self.send_response(answer.status)
            given = {"Content-Type": answer.media_type, "Content-Length": str(len(answer.body))}
            for name, value in {**given, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.base_url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.is_closing.set()
        http.shutdown()
        thread.join()
        http.server_close()
