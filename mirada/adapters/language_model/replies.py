"""Replies and errors in OpenAI's wire format, read without trust in their shape."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import (
    GarbledReply,
    InvalidInput,
    OutOfTokens,
    UnusableReply,
)
from mirada.kernel.model_requests import Drawing, EmbeddedTexts, Reply

MOST_TOKENS = 10_000_000
"""More than any model reads or writes at once; a server that says more is not believed."""
_DATA_ADDRESS = re.compile(r"\Adata:[\w/+.-]+;base64,")


def reply(body: bytes, setting: str) -> Reply:
    """Return the text of a chat completion.

    Args:
        body: the whole reply.
        setting: the one that names the model.

    Raises:
        UnusableReply: there is none, or not all of it.
        OutOfTokens: the limit was used up before the answer began.
    """
    with _its_own_format():
        found = json.loads(body)
        choice = found["choices"][0]
        message, finish_reason = choice["message"], choice.get("finish_reason")
        text, refusal = _text_of(message.get("content")), message.get("refusal")
        usage = found.get("usage")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if finish_reason == "length" and (not text or _reasoned(usage)):
        raise OutOfTokens(
            "The language model used up its limit of tokens on hidden reasoning before it had "
            f"answered: set {setting} to a model that answers without.",
            input_tokens=read,
            output_tokens=written,
        )
    if finish_reason == "length":
        fault = "The language model's reply was cut off at its limit."
    elif refusal or finish_reason == "content_filter":
        fault = "The language model declined to answer."
    elif text:
        return Reply(text, input_tokens=read, output_tokens=written)
    else:
        fault = "The language model's reply holds no text."
    raise UnusableReply(fault, input_tokens=read, output_tokens=written)


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
    read = _count(usage, "prompt_tokens")
    return EmbeddedTexts(_matrix(in_order), input_tokens=read, output_tokens=0)


def drawing(body: bytes) -> Drawing | str:
    """Return the one picture of a reply, or the address that the reply names. Raises UnusableReply."""
    with _its_own_format():
        found = json.loads(body)
        drawn = found["data"][0]
        encoded, url = drawn.get("b64_json"), drawn.get("url")
        usage = found.get("usage")
    if isinstance(encoded, str) and encoded:
        try:
            # Some servers send a data address, or break the lines.
            bare = "".join(_DATA_ADDRESS.sub("", encoded, count=1).split())
            picture = base64.b64decode(bare, validate=True)
        except (binascii.Error, ValueError) as error:
            raise GarbledReply("The picture that was drawn is not base64.") from error
        counted = {name: _count(usage, name) for name in ("input_tokens", "output_tokens")}
        return Drawing(picture, **counted)
    if isinstance(url, str) and url:
        return url
    raise GarbledReply("The language model's reply holds no picture.")


def _text_of(content: object) -> str:
    """Return a message's text, which some servers send in parts; "" where there is none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _numbers(row: Any) -> Any:
    """Return a vector as a list; some servers send base64 of little-endian float32 all the same."""
    if not isinstance(row, str):
        return row
    try:
        return np.frombuffer(base64.b64decode(row, validate=True), "<f4").tolist()
    except (binascii.Error, ValueError) as error:
        raise GarbledReply("The language model's vectors are not lists of numbers.") from error


def _matrix(rows: list[Any]) -> Matrix:
    rows = [_numbers(row) for row in rows]
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


def _count(usage: object, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    return count if 0 <= count <= MOST_TOKENS else None


def _reasoned(usage: object) -> bool:
    """Return whether a server says that hidden reasoning was counted."""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return bool(_count(details, "reasoning_tokens"))
