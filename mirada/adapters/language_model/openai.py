"""A language model behind OpenAI's chat completions: theirs, or a local server that speaks it.

Through the SDK for its wire format alone: it retries nothing (the job ledger does), parses nothing
(the answer is untrusted), and waits no longer than it is told. Neither the key nor what a server
says of it reaches a log or an error. Why chat completions: docs/decisions/0008.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from mirada.domain.errors import LanguageModelRefused, MiradaError, Unavailable, UnusableReply
from mirada.ports import Reply

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
MAX_REPLY_BYTES = 256 * 1024
"""What was asked for is a few kilobytes; a page that does not end is not waited for."""
CONNECT_TIMEOUT_S = 3.0
RETRY_AFTER_S = 5
"""When the server names no time; the ledger's own waits are longer from the second error on."""
MAX_RETRY_AFTER_S = 24 * 3_600
WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})
KEY_REFUSED = frozenset({401, 403})
_CODE = re.compile(r"[a-z_]{3,40}")


class OpenAiLanguageModel:
    """Asks over HTTP. Thread-safe."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            api_key: printable ASCII; servers that want none take any.
            base_url: up to and including `/v1`; None for OpenAI itself.
        """
        # Older local servers know only the older name, newer models of OpenAI's only the newer.
        self._limit_name = "max_completion_tokens" if base_url is None else "max_tokens"
        self._key_is_refused = False
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url or OPENAI_URL,
            max_retries=0,
            # Compressed, a small reply could unfold into any size.
            default_headers={"Accept-Encoding": "identity"},
            # Every redirect but a wrong address would take the key somewhere.
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False, event_hooks={"response": [_bound]}
            ),
        )

    def ask(
        self,
        model: str,
        instructions: str,
        question: str,
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float,
    ) -> Reply:
        """See `LanguageModel.ask`."""
        limit: dict[str, Any] = {self._limit_name: max_tokens}
        with self._errors_wrapped():
            response = self._client.chat.completions.with_raw_response.create(
                model=model,
                messages=[
                    {"role": "system", "content": instructions},
                    {"role": "user", "content": question},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": str(schema["title"]),
                        "schema": dict(schema),
                        "strict": True,
                    },
                },
                timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
                **limit,
            )
        self._key_is_refused = False
        return _reply(response.content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextlib.contextmanager
    def _errors_wrapped(self) -> Iterator[None]:
        try:
            yield
        except openai.APIStatusError as error:
            # Without its cause: servers are known to repeat the key in what they say.
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, MiradaError):
                raise error.__cause__ from None
            if isinstance(error, openai.APITimeoutError):
                raise Unavailable("The language model did not answer in time.") from error
            raise Unavailable(
                "The language model cannot be reached; check OPENAI_BASE_URL if this goes on."
            ) from error
        except openai.OpenAIError as error:
            raise UnusableReply("The language model's reply is not of its own format.") from error

    def _refusal(self, error: openai.APIStatusError) -> MiradaError:
        status, code = error.status_code, error.code or ""
        said = f"{status} {code}" if _CODE.fullmatch(code) else str(status)
        if status in WORTH_ANOTHER_TRY or status >= 500:
            return Unavailable(
                f"The language model answered {said}; it is asked again later.",
                retry_after_s=_retry_after_s(error.response.headers),
            )
        if status in KEY_REFUSED:
            detail = f"The language model refuses OPENAI_API_KEY ({said})."
            if not self._key_is_refused:
                self._key_is_refused = True
                logger.error("%s Set a valid key and restart; nothing else depends on it.", detail)
            return LanguageModelRefused(detail)
        return LanguageModelRefused(
            f"The language model refuses the request ({said}); check the model's name and "
            "OPENAI_BASE_URL."
        )


def _reply(body: bytes) -> Reply:
    """Return what a chat completion says, believing nothing about its shape."""
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        message, finish_reason = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        usage = found.get("usage")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise UnusableReply("The language model's reply is not of its own format.") from error
    if finish_reason == "length":
        raise UnusableReply("The language model's reply was cut off at its limit.")
    if refusal or finish_reason == "content_filter":
        raise UnusableReply("The language model declined to answer.")
    if not isinstance(text, str) or not text:
        raise UnusableReply("The language model's reply holds no text.")
    return Reply(text, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: object, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None


def _retry_after_s(headers: httpx2.Headers) -> int:
    """Return RFC 9110's Retry-After, seconds or a date, in whole seconds rounded up."""
    told = headers.get("retry-after", "")
    try:
        wait_s = float(told)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(told).timestamp() - time.time()
        except (ValueError, OverflowError):
            return RETRY_AFTER_S
    # Compared, not converted, first: nan and inf are floats too.
    if not wait_s > 0:
        return RETRY_AFTER_S
    return math.ceil(min(wait_s, MAX_RETRY_AFTER_S))


def _bound(response: httpx2.Response) -> None:
    """Make the reading of a reply's body, an error's too, end in time and in size."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnusableReply(
            "The language model's reply is compressed, which it was asked not to be."
        )
    assert isinstance(response.stream, httpx2.SyncByteStream)
    allowed_s = response.request.extensions["timeout"]["read"]
    response.stream = _BoundedStream(response.stream, time.monotonic() + allowed_s)


class _BoundedStream(httpx2.SyncByteStream):
    """A body of MAX_REPLY_BYTES at most, read until a deadline: time-outs alone allow a slow drip."""

    def __init__(self, stream: httpx2.SyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MAX_REPLY_BYTES:
                raise UnusableReply(f"The language model's reply is over {MAX_REPLY_BYTES} bytes.")
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("The body came too slowly.")
            yield chunk

    def close(self) -> None:
        self._stream.close()
