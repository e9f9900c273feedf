"""A request and its reply as values: sent through the app, searched for secrets, compared."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient

from tests.leaks.secrets import Vault

TEXTUAL = ("json", "text/", "javascript", "xml", "html")
CREDENTIALS = ("Authorization", "X-API-Key", "Cookie")
SENT: Counter[str] = Counter()
"""How many requests were sent, by operation."""
NEW_EVERY_TIME = {"x-request-id", "date"}
"""Headers that differ between two identical requests."""


@dataclass(frozen=True)
class Upload:
    """A file part."""

    content: bytes = field(repr=False)
    name: str = "picture.png"
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Request:
    """What is sent; `operation_id` is only for people."""

    operation_id: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: tuple[tuple[str, str | Upload], ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.operation_id}: {self.method} {self.path}"]
        for name in ("query", "headers", "json", "form"):
            value = getattr(self, name)
            parts += [f"{name}={value}"] if value else []
        return " ".join(parts)

    @property
    def text(self) -> str:
        """Everything in it but files."""
        fields = [value for _, value in self.form if isinstance(value, str)]
        names = [value.name for _, value in self.form if isinstance(value, Upload)]
        headers = {name: value for name, value in self.headers.items() if name not in CREDENTIALS}
        sent = json.dumps(self.json) if self.json is not None else ""
        return " ".join([self.path, str(self.query), str(headers), sent, *fields, *names])

    def brings(self, vault: Vault) -> Iterator[str]:
        """Yield the secrets that whoever sends it knows already, so that they may be echoed."""
        yield from vault.in_text(self.text)
        for _, value in self.form:
            if isinstance(value, Upload):
                for name in vault.in_bytes(value.content):
                    yield name
                    what, _, about = name.partition(" of ")
                    # Who has the bytes can compute the rest, who has the pixels the vector.
                    if what in ("bytes", "original"):
                        yield from (f"{each} of {about}" for each in ("sha256", "pixels", "vector"))
                    elif what == "pixels":
                        yield f"vector of {about}"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        return dict(self.headers).get("Content-Type", "").partition(";")[0]

    @property
    def text(self) -> str:
        """The body, "" where it is no text."""
        if any(part in self.media_type for part in TEXTUAL):
            return self.body.decode("utf-8", "replace")
        return ""

    def tells(self, vault: Vault) -> Iterator[str]:
        """Yield the secrets in it: in headers, text, JSON, vectors, pictures or bytes."""
        for name, value in self.headers:
            yield from vault.in_text(f"{name}: {value}")
        if self.text:
            yield from vault.in_text(self.text)
        elif self.body:
            yield from vault.in_bytes(self.body)

    def __str__(self) -> str:
        headers = {n: v for n, v in self.headers if n not in USUAL}
        return f"{self.status} {headers} {self.text or len(self.body)}"

    def same_as(self, *, without: Mapping[str, str] | None = None) -> tuple[Any, ...]:
        """Return what can be compared with another reply.

        Args:
            without: texts that may differ, with what stands for them, longest first.
        """

        def plain(text: str) -> str:
            for given, stands_for in (without or {}).items():
                text = text.replace(given, stands_for)
            text = _SEALED_CURSOR.sub(lambda found: f"{len(found[0])} characters", text)
            return _REQUEST_ID.sub('"request_id": "…"', text)

        headers = sorted(
            (name, plain(value))
            for name, value in self.headers
            if name.lower() not in NEW_EVERY_TIME
        )
        return self.status, tuple(headers), plain(self.text) if self.text else self.body


USUAL = {
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "X-Frame-Options",
    "Cross-Origin-Opener-Policy",
    "Permissions-Policy",
    "X-Request-ID",
}
"""Headers that every reply has; left out where people read it."""
_REQUEST_ID = re.compile(r'"request_id": ?"[^"]*"')
_SEALED_CURSOR = re.compile(r"(?<=[?&]cursor=)[A-Za-z0-9_-]{50,}")
"""A cursor of a search is another one each time; its length is not."""


def send(client: FlaskClient, request: Request) -> Reply:
    """Send a request and return the reply; of a stream only its beginning."""
    SENT[request.operation_id] += 1
    body: dict[str, Any] = {}
    if request.json is not None:
        body["json"] = request.json
    if request.form:
        parts: dict[str, list[Any]] = {}
        for name, value in request.form:
            part: Any = value
            if isinstance(value, Upload):
                part = (io.BytesIO(value.content), value.name, value.media_type)
            parts.setdefault(name, []).append(part)
        body["data"] = parts
        body["content_type"] = "multipart/form-data"
    response = client.open(
        request.path,
        method=request.method,
        query_string=list(request.query),
        headers=dict(request.headers),
        **body,
    )
    try:
        if response.mimetype == "text/event-stream":
            first = next(iter(response.response), b"")
            content = first.encode() if isinstance(first, str) else first
        else:
            content = response.get_data()
        return Reply(response.status_code, tuple(response.headers.items()), content)
    finally:
        response.close()
