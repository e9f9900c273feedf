"""Replies and errors in OpenAI's wire format, read without trust in their shape."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import numpy as np
import openai

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import (
    GarbledReply,
    InvalidInput,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    NoAnswer,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)
from mirada.kernel.model_requests import Drawing, EmbeddedTexts, PictureToDraw, Reply, Request

RETRY_AFTER_S = 5
"""When the server names no time; the ledger's own waits are longer from the second error on."""
MAX_RETRY_AFTER_S = 24 * 3_600
MOST_TOKENS = 10_000_000
"""More than any model reads or writes at once; a server that says more is not believed."""
KEY_REFUSED_WAIT_S = 60
"""The breaker's first pause: what waits for a mended key is tried no sooner."""
WORTH_ANOTHER_TRY = frozenset({408, 409, 425})
GATEWAY_GAVE_UP = frozenset({504, 524})
"""A proxy waited no longer: the server behind it may have answered, and be paid, all the same."""
TOO_MANY_REQUESTS = 429
OUT_OF_MONEY = "insufficient_quota"
OUT_OF_MONEY_WAIT_S = 600
"""OpenAI sends it as a 429 without a time, and an account is not filled up within seconds."""
KEY_REFUSED = frozenset({401, 403})
MODEL_UNKNOWN = "model_not_found"
"""With 403: the key is good, and its project has no access to this one model."""
DECLINED = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
"""OpenAI's newer and older image models, and Azure's: what a prompt that may not be drawn is told."""
NO_MONEY = frozenset({"billing_hard_limit_reached"})
"""The images API says so with 400, where the others say 429."""
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
"""The server never saw the request, so it cannot have been paid for."""
_CODE = re.compile(r"[a-z_]{3,40}")
_DATA_ADDRESS = re.compile(r"\Adata:[\w/+.-]+;base64,")


def reply(body: bytes) -> Reply:
    """Return the text of a chat completion. Raises UnusableReply."""
    with _its_own_format():
        found = json.loads(body)
        choice = found["choices"][0]
        message, finish_reason = choice["message"], choice.get("finish_reason")
        text, refusal = _text_of(message.get("content")), message.get("refusal")
        usage = found.get("usage")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
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


def error_for(error: openai.OpenAIError, request: Request[Any]) -> MiradaError:
    """Return our error for one of the SDK's; its message repeats nothing that a server said."""
    if isinstance(error, openai.APIStatusError):
        refusal = _of_drawing(error) if isinstance(request, PictureToDraw) else None
        return refusal or _of_status(error)
    if not isinstance(error, openai.APIConnectionError):
        return GarbledReply("The language model's reply is not of its own format.")
    if isinstance(error.__cause__, MiradaError):
        return error.__cause__
    if isinstance(error.__cause__, NOT_SENT):
        return Unavailable(
            "The language model cannot be reached; check OPENAI_BASE_URL if this goes on."
        )
    if isinstance(error, openai.APITimeoutError):
        return NoAnswer("The language model did not answer in time.")
    return NoAnswer("The language model broke off before it had answered.")


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


def _of_status(error: openai.APIStatusError) -> MiradaError:
    status, code = error.status_code, error.code or ""
    said = f"{status} {code}" if _CODE.fullmatch(code) else str(status)
    later = f"The language model answered {said}; it is asked again later."
    wait_s = retry_after_s(error.response.headers)
    if status == TOO_MANY_REQUESTS:
        least_s = OUT_OF_MONEY_WAIT_S if code == OUT_OF_MONEY else 0
        return TooManyRequests(later, retry_after_s=max(wait_s, least_s))
    if status in GATEWAY_GAVE_UP:
        return NoAnswer(later, retry_after_s=wait_s)
    if status in WORTH_ANOTHER_TRY or status >= 500:
        return Unavailable(later, retry_after_s=wait_s)
    if status in KEY_REFUSED and code != MODEL_UNKNOWN:
        return KeyRefused(
            f"The language model refuses OPENAI_API_KEY ({said}).",
            retry_after_s=KEY_REFUSED_WAIT_S,
        )
    return LanguageModelRefused(
        f"The language model refuses the request ({said}); check the model's name and "
        "OPENAI_BASE_URL."
    )


def _of_drawing(error: openai.APIStatusError) -> MiradaError | None:
    """Return what a refused drawing means; None where it means what any refused request does."""
    status, code = error.status_code, error.code or ""
    if status == 403:
        # The key is good for the rest: an organisation has to be verified for some models.
        return LanguageModelRefused(
            "The language model does not let this key use GENERATION_MODEL (403); OpenAI asks for "
            "the organisation to be verified, or choose another model."
        )
    if status != 400:
        return None
    if code in DECLINED:
        return LanguageModelRefused(
            f"The prompt was declined by the rules of whoever draws ({code}). Nothing was drawn or "
            "paid; ask with other words."
        )
    if code in NO_MONEY:
        return TooManyRequests(
            f"The language model answered 400 {code}; it is asked again later.",
            retry_after_s=OUT_OF_MONEY_WAIT_S,
        )
    return LanguageModelRefused(
        "The language model refuses the request (400); check the length of the prompt, the size, "
        "GENERATION_MODEL and OPENAI_BASE_URL."
    )
