"""A language model behind OpenAI's wire format: theirs, or a local server that speaks it.

Through the SDK for its wire format alone: it retries nothing (the job ledger does), parses nothing
(the answer is untrusted), and waits no longer than it is told. Neither the key nor what a server
says of it reaches a log or an error. Why chat completions: docs/decisions/0008; what the errors
mean for money and for the circuit breaker: 0019.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import openai

from mirada.adapters.language_model import failures, replies
from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.errors import GarbledReply, InvalidInput, KeyRefused
from mirada.kernel.model_families import least_reasoning
from mirada.kernel.model_requests import (
    AnyReply,
    Counted,
    Drawing,
    PictureToDraw,
    Question,
    Request,
    TextsToEmbed,
)

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 3.0
LIMIT_NAMES = ("max_completion_tokens", "max_tokens")
"""The names of an answer's limit, the newer first."""
MAX_TEXTS = 256
"""Per request; OpenAI takes 2,048 of 300,000 tokens together, local servers less."""
MAX_REPLY_BYTES = 256 * 1024
"""A few kilobytes are asked for; a page that does not end is not waited for."""
MAX_VECTORS_BYTES = 32 * 1024 * 1024
"""256 texts of 3,072 numbers, each up to 25 characters of JSON, are 20 MB."""
MAX_PICTURE_BYTES = 48 * 1024 * 1024
"""A PNG of 3840 x 2160 is about 25 MB, and a third more in base64."""
_LARGER = {"/embeddings": MAX_VECTORS_BYTES, "/images/generations": MAX_PICTURE_BYTES}


class OpenAiLanguageModel:
    """Sends requests over HTTP while the circuit is closed. Thread-safe."""

    def __init__(self, api_key: str, base_url: str | None, breaker: CircuitBreaker) -> None:
        """Prepare; nothing is connected yet.

        Args:
            api_key: printable ASCII; servers that want none take any.
            base_url: up to and including `/v1`; None for OpenAI itself.
            breaker: the server's.
        """
        self._breaker = breaker
        self.check = breaker.check
        self._is_openai = base_url is None
        self._not_taken: set[tuple[str, str]] = set()
        self._base_url = httpx2.URL(base_url or OPENAI_URL)
        self._key_is_refused = False
        self._http = openai.DefaultHttpxClient(
            # Every redirect but a wrong address would take the key somewhere.
            follow_redirects=False,
            event_hooks={"response": [_limit_body]},
        )
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url or OPENAI_URL,
            max_retries=0,
            # Compressed, a small reply could unfold into any size.
            default_headers={"Accept-Encoding": "identity"},
            http_client=self._http,
        )

    def call(self, request: Request[AnyReply]) -> AnyReply:
        """See `LanguageModel.call`."""
        reply: Counted
        with self._breaker.guarding():
            try:
                if isinstance(request, Question):
                    reply = replies.reply(self._answer(request), request.setting)
                elif isinstance(request, TextsToEmbed):
                    reply = replies.vectors(self._embed(request), len(request.texts))
                elif isinstance(request, PictureToDraw):
                    reply = self._picture(replies.drawing(self._draw(request)), request.timeout_s)
                else:
                    raise InvalidInput(f"OpenAI's format has no {type(request).__name__}.")
            except openai.OpenAIError as error:
                ours = failures.error_for(error, request)
                if isinstance(ours, KeyRefused) and not self._key_is_refused:
                    self._key_is_refused = True
                    logger.error(
                        "%s Set a valid key and restart; nothing else depends on it.", ours
                    )
                # Without its cause: servers are known to repeat the key in what they say.
                is_said = isinstance(error, openai.APIStatusError) or ours is error.__cause__
                raise ours from (None if is_said else error)
        # mypy does not see that a request's class decides the type of its reply.
        return cast("AnyReply", reply)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answer(self, request: Question) -> bytes:
        content: str | list[dict[str, Any]] = request.question
        if request.picture is not None:
            # Some local servers take no WebP; JPEG is known to all.
            media_type, encoded = _media_type(request.picture), base64.b64encode(request.picture)
            url = f"data:{media_type};base64,{encoded.decode()}"
            content = [
                {"type": "text", "text": request.question},
                {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
            ]
        messages: Any = [
            {"role": "system", "content": request.instructions},
            {"role": "user", "content": content},
        ]
        schema = dict(request.schema)
        form = {"name": str(schema["title"]), "schema": schema, "strict": True}
        while True:
            limits = self._limits(request)
            try:
                return self._body(
                    self._client.chat.completions.with_raw_response.create(
                        model=request.model,
                        messages=messages,
                        response_format=cast("Any", {"type": "json_schema", "json_schema": form}),
                        timeout=_timeout(request.timeout_s),
                        **limits,
                    )
                )
            except openai.BadRequestError as error:
                # Free. What a model does not take is left out of its requests from now on.
                refused = (request.model, str(error.param))
                if error.param not in limits or refused in self._not_taken:
                    raise
                self._not_taken.add(refused)
                if not self._limits(request).keys() & set(LIMIT_NAMES):
                    raise

    def _limits(self, request: Question) -> dict[str, Any]:
        """Return the parameters that limit an answer and the reasoning before it."""
        effort = least_reasoning(request.model).effort
        # Older local servers know only the older name, OpenAI's reasoning models only the newer.
        is_newer = self._is_openai or effort is not None
        names = LIMIT_NAMES if is_newer else reversed(LIMIT_NAMES)
        taken = [name for name in names if (request.model, name) not in self._not_taken]
        limits: dict[str, Any] = dict.fromkeys(taken[:1], request.limit)
        if effort is not None and (request.model, "reasoning_effort") not in self._not_taken:
            limits["reasoning_effort"] = effort
        return limits

    def _embed(self, request: TextsToEmbed) -> bytes:
        if not 1 <= len(request.texts) <= MAX_TEXTS or not all(request.texts):
            raise InvalidInput(f"1 to {MAX_TEXTS} texts are embedded at once, none of them empty.")
        return self._body(
            self._client.embeddings.with_raw_response.create(
                model=request.model,
                input=list(request.texts),
                # The SDK's own default is base64, which not every local server knows.
                encoding_format="float",
                timeout=_timeout(request.timeout_s),
            )
        )

    def _draw(self, request: PictureToDraw) -> bytes:
        # GPT image models always send the bytes and refuse to be asked for them; others send an
        # address unless they are.
        sends_bytes = request.model.startswith(("gpt-image", "chatgpt-image"))
        return self._body(
            self._client.images.with_raw_response.generate(
                model=request.model,
                prompt=request.prompt,
                size=cast("Any", request.size),
                n=1,
                timeout=_timeout(request.timeout_s),
                response_format=openai.omit if sends_bytes else "b64_json",
            )
        )

    def _body(self, response: Any) -> bytes:
        self._key_is_refused = False
        return bytes(response.content)

    def _picture(self, drawn: Drawing | str, timeout_s: float) -> Drawing:
        """Return what was drawn, fetched without the key where the server names an address instead."""
        if isinstance(drawn, Drawing):
            return drawn
        try:
            url = httpx2.URL(drawn)
        except (httpx2.InvalidURL, ValueError) as error:
            raise GarbledReply("The picture that was drawn has no proper address.") from error
        ours = self._base_url
        if (url.scheme, url.host, url.port) != (ours.scheme, ours.host, ours.port):
            raise GarbledReply(
                "The picture that was drawn is at another server's address, which is not fetched."
            )
        try:
            response = self._http.get(
                url,
                headers={"Accept-Encoding": "identity"},
                timeout=_timeout(timeout_s),
            )
        except httpx2.HTTPError as error:
            raise GarbledReply("The picture that was drawn could not be fetched.") from error
        if response.status_code != 200 or not response.content:
            raise GarbledReply("The picture that was drawn is not at its address.")
        return Drawing(response.content)


def _timeout(timeout_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def _media_type(picture: bytes) -> str:
    if picture.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if picture.startswith(b"RIFF") and picture[8:12] == b"WEBP":
        return "image/webp"
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    raise InvalidInput("A language model is shown JPEG, WebP or PNG only.")


def _limit_body(response: httpx2.Response) -> None:
    """Limit the time and size of a reply's body, an error's too; an event hook of the HTTP client."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise GarbledReply(
            "The language model's reply is compressed, which it was asked not to be."
        )
    assert isinstance(response.stream, httpx2.SyncByteStream)
    request, most = response.request, MAX_REPLY_BYTES
    if request.method == "GET":
        # Nothing but a picture is ever fetched by its address.
        most = MAX_PICTURE_BYTES
    elif response.is_success:
        most = max(
            (_LARGER[end] for end in _LARGER if request.url.path.endswith(end)), default=most
        )
    response.stream = _LimitedStream(
        response.stream, most, deadline=time.monotonic() + request.extensions["timeout"]["read"]
    )


@dataclass(frozen=True, slots=True)
class _LimitedStream(httpx2.SyncByteStream):
    """A body of limited size, read until a deadline: time-outs alone allow a slow drip."""

    stream: httpx2.SyncByteStream
    most: int
    deadline: float

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self.stream:
            size += len(chunk)
            if size > self.most:
                raise GarbledReply(f"The language model's reply is over {self.most} bytes.")
            if time.monotonic() > self.deadline:
                raise httpx2.ReadTimeout("The body came too slowly.")
            yield chunk

    def close(self) -> None:
        self.stream.close()
