"""The head of a request, read as far as the front needs it; Gunicorn reads and judges it again."""

from __future__ import annotations

from dataclasses import dataclass

END = b"\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. The longest cursor and the longest key are under 1 KiB."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request's first lines.

    Attributes:
        raw: the bytes as they came, with the empty line at the end.
        method: in capitals, as it came.
        path: of the target, without its query.
        body_bytes: length of the body; None for one in chunks.
        is_doubtful: where the body ends cannot be told, so nothing after the head is believed.
        awaits_continue: the client sends its body only after "100 Continue".
        content_type: as it came, "" without one.
        request_id: as it came, "" without one.
        origin: the page that asks, "" without one.
        may_stay: the client does not ask for the connection to be closed.
    """

    raw: bytes
    method: str
    path: str
    body_bytes: int | None
    is_doubtful: bool
    awaits_continue: bool
    content_type: str
    request_id: str
    origin: str
    may_stay: bool

    @property
    def has_body(self) -> bool:
        """Whether bytes follow that belong to this request."""
        return not self.is_doubtful and self.body_bytes != 0

    def with_length(self, byte_count: int) -> bytes:
        """Return the bytes of the head of the same request with a body that is not in chunks."""
        lines = self.raw[: -len(END)].split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(b"transfer-encoding:")]
        return b"\r\n".join([*kept, b"Content-Length: %d" % byte_count]) + END


def parse(raw: bytes) -> Head:
    """Return a head from its bytes, which end with an empty line; it never fails.

    What is malformed in it comes out as doubtful, or as text that names nothing: Gunicorn's own
    parser reads the same bytes later and says what is wrong.
    """
    lines = raw[: -len(END)].decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.rpartition(" ")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip(" \t"))
    body_bytes, is_doubtful = _framing(headers, version)
    connection = ",".join(headers.get("connection", ())).lower()
    return Head(
        raw=raw,
        method=method,
        path=target.partition("?")[0],
        body_bytes=body_bytes,
        is_doubtful=is_doubtful,
        # RFC 9110, 10.1.1: clients of HTTP/1.0 would take it for the reply.
        awaits_continue=(
            version == "HTTP/1.1" and _only(headers, "expect").lower() == "100-continue"
        ),
        content_type=_only(headers, "content-type"),
        request_id=_only(headers, "x-request-id"),
        origin=_only(headers, "origin"),
        may_stay=version == "HTTP/1.1" and "close" not in connection,
    )


def _only(headers: dict[str, list[str]], name: str) -> str:
    return (headers.get(name) or [""])[0]


def _framing(headers: dict[str, list[str]], version: str) -> tuple[int | None, bool]:
    """Return the length of the body, None for chunks, and whether that is in doubt (RFC 9112, 6.3)."""
    lengths, codings = headers.get("content-length", []), headers.get("transfer-encoding", [])
    if not lengths and not codings:
        return 0, False
    if codings:
        is_plain = len(codings) == 1 and codings[0].lower() == "chunked"
        return None, bool(lengths) or not is_plain or version != "HTTP/1.1"
    is_number = len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdecimal()
    if not is_number or len(lengths[0]) > 18:
        return 0, True
    return int(lengths[0]), False
