"""Replies in OpenAI's wire format, read without trust in their shape."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import math
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import numpy as np

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import GarbledReply, InvalidInput, UnusableReply
from mirada.kernel.model_requests import Drawing, EmbeddedTexts, Reply

RETRY_AFTER_S = 5
"""When the server names no time; the ledger's own waits are longer from the second error on."""
MAX_RETRY_AFTER_S = 24 * 3_600
MOST_TOKENS = 10_000_000
"""More than any model reads or writes at once; a server that says more is not believed."""


def reply(body: bytes) -> Reply:
    """Return the text of a chat completion. Raises UnusableReply."""
    with _its_own_format():
        found = json.loads(body)
        choice = found["choices"][0]
        message, finish_reason = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        usage = found.get("usage")
    said = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    if finish_reason == "length":
        raise _unusable("was cut off at its limit", *said)
    if refusal or finish_reason == "content_filter":
        raise UnusableReply(
            "The language model declined to answer.", input_tokens=said[0], output_tokens=said[1]
        )
    if not isinstance(text, str) or not text:
        raise _unusable("holds no text", *said)
    return Reply(text, *said)


def vectors(body: bytes, count: int) -> EmbeddedTexts:
    """Return the vectors of `count` texts, in the texts' order. Raises GarbledReply."""
    with _its_own_format():
        found = json.loads(body)
        rows = found["data"]
        if not isinstance(rows, list) or len(rows) != count:
            raise GarbledReply(f"The language model sent not one vector for each of {count} texts.")
        numbered = {row.get("index", place): row["embedding"] for place, row in enumerate(rows)}
        usage = found.get("usage")
        in_order = [numbered[place] for place in range(count)]
    return EmbeddedTexts(_matrix(in_order), _count(usage, "prompt_tokens"))


def drawing(body: bytes) -> Drawing | str:
    """Return the one picture of a reply, or the address that the reply names. Raises UnusableReply."""
    with _its_own_format():
        found = json.loads(body)
        drawn = found["data"][0]
        encoded, url = drawn.get("b64_json"), drawn.get("url")
        usage = found.get("usage")
    if isinstance(encoded, str) and encoded:
        try:
            picture = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise GarbledReply("The picture that was drawn is not base64.") from error
        return Drawing(picture, _count(usage, "input_tokens"), _count(usage, "output_tokens"))
    if isinstance(url, str) and url:
        return url
    raise GarbledReply("The language model's reply holds no picture.")


def retry_after_s(headers: httpx2.Headers) -> int:
    """Return RFC 9110's Retry-After, seconds or a date, in whole seconds rounded up."""
    told = headers.get("retry-after", "")
    try:
        wait_s = float(told)
    except ValueError:
        try:
            at = parsedate_to_datetime(told)
            # The oldest of the three forms names no zone and means UTC as well (RFC 9110, 5.6.7).
            wait_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time()
        except (ValueError, OverflowError):
            return RETRY_AFTER_S
    # Compared, not converted, first: nan and inf are floats too.
    if not wait_s > 0:
        return RETRY_AFTER_S
    return math.ceil(min(wait_s, MAX_RETRY_AFTER_S))


def _matrix(rows: list[Any]) -> Matrix:
    dimensions = {len(row) if isinstance(row, list) else 0 for row in rows}
    if len(dimensions) != 1 or 0 in dimensions:
        raise GarbledReply("The language model's vectors are not lists of one length.")
    # Numpy would take texts and booleans for numbers as well.
    if not all(type(number) in (int, float) for row in rows for number in row):
        raise GarbledReply("The language model's vectors hold something that is no number.")
    try:
        return l2_normalise(np.array(rows, dtype=np.float64))
    except (InvalidInput, OverflowError) as error:
        raise GarbledReply(
            "The language model's vectors hold NaN, infinity, or nothing but zeros."
        ) from error


@contextlib.contextmanager
def _its_own_format() -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise GarbledReply("The language model's reply is not of its own format.") from error


def _unusable(what: str, input_tokens: int | None, output_tokens: int | None) -> UnusableReply:
    return UnusableReply(
        f"The language model's reply {what}.",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


def _count(usage: object, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    return count if 0 <= count <= MOST_TOKENS else None
