"""Limits of a reply: its time and its size, and no compression."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2

from mirada.kernel.errors import GarbledReply

MAX_REPLY_BYTES = 256 * 1024
"""A few kilobytes are asked for; a page that does not end is not waited for."""
MAX_VECTORS_BYTES = 32 * 1024 * 1024
"""256 texts of 3,072 numbers, each up to 25 characters of JSON, are 20 MB."""
MAX_PICTURE_BYTES = 48 * 1024 * 1024
"""A PNG of 3840 x 2160 is about 25 MB, and a third more in base64."""
_LARGER = {"/embeddings": MAX_VECTORS_BYTES, "/images/generations": MAX_PICTURE_BYTES}


def bound(response: httpx2.Response) -> None:
    """Limit the time and size of a reply's body, an error's too; an event hook of the HTTP client."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise GarbledReply(
            "The language model's reply is compressed, which it was asked not to be."
        )
    assert isinstance(response.stream, httpx2.SyncByteStream)
    allowed_s = response.request.extensions["timeout"]["read"]
    path = response.request.url.path
    limits = [size for end, size in _LARGER.items() if response.is_success and path.endswith(end)]
    if response.request.method == "GET":
        # Nothing but a picture is ever fetched by its address.
        limits = [MAX_PICTURE_BYTES]
    most = max(limits, default=MAX_REPLY_BYTES)
    response.stream = _BoundedStream(response.stream, most, time.monotonic() + allowed_s)


class _BoundedStream(httpx2.SyncByteStream):
    """A body of limited size, read until a deadline: time-outs alone allow a slow drip."""

    def __init__(self, stream: httpx2.SyncByteStream, most: int, deadline: float) -> None:
        self._stream = stream
        self._most = most
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise GarbledReply(f"The language model's reply is over {self._most} bytes.")
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("The body came too slowly.")
            yield chunk

    def close(self) -> None:
        self._stream.close()
