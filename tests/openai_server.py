"""A loopback server that speaks OpenAI's wire format, and misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdefSECRET"
CHAT = "/v1/chat/completions"


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


class OpenAiServer:
    """A running server. `usual` answers by path; what lies in `next` is used up first, in order."""

    def __init__(self) -> None:
        self.base_url = ""
        self.usual: dict[str, Answering] = {CHAT: lambda call: completion("{}")}
        self.next: deque[Answer] = deque()
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self.is_closing = threading.Event()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that lead a runtime here."""
        return {"openai_api_key": KEY, "openai_base_url": self.base_url}

    def answer(self, call: Call) -> Answer:
        with self.lock:
            self.calls.append(call)
            if call.headers.get("authorization") != f"Bearer {KEY}":
                return failure(401, "invalid_api_key")
            fault = _fault(call)
            if fault is not None:
                return in_json({"error": {"message": fault, "code": None}}, 400)
            if self.next:
                return self.next.popleft()
        answering = self.usual.get(call.path)
        return answering(call) if answering else failure(404, "unknown_url")


def _fault(call: Call) -> str | None:
    """Return what OpenAI's strict mode would not take; None when all is well."""
    if call.path != CHAT:
        return None
    if not call.body.get("model") or not call.body.get("messages"):
        return "you must provide a model and messages"
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


@contextmanager
def openai_serving() -> Iterator[OpenAiServer]:
    """Serve on a free port of this machine; what is still being said at the end is cut off."""
    server = OpenAiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.answer(Call(self.path, headers, json.loads(body)))
            try:
                self._send(answer)
            except OSError:
                # The caller has hung up, as it should on a server like this.
                self.close_connection = True

        def _send(self, answer: Answer) -> None:
            size = -(-len(answer.body) // answer.pieces)
            for start in range(0, max(len(answer.body), 1), size or 1):
                if server.is_closing.wait(answer.pause_s):
                    self.close_connection = True
                    return
                if start == 0:
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
