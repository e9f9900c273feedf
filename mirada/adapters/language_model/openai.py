"""A language model behind OpenAI's wire format: theirs, or a local server that speaks it.

Through the SDK for its wire format alone: it retries nothing (the job ledger does), parses nothing
(the answer is untrusted), and waits no longer than it is told. Neither the key nor what a server
says of it reaches a log or an error. Why chat completions: docs/decisions/0008; what the errors
mean for money and for the circuit breaker: 0019.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx2
import openai

from mirada.adapters.language_model import refusals, replies
from mirada.adapters.language_model.bounded import bound
from mirada.kernel.errors import (
    GarbledReply,
    InvalidInput,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    NoAnswer,
    TooManyRequests,
    Unavailable,
)
from mirada.ports import (
    LANGUAGE_MODEL_TIMEOUT_S,
    Drawing,
    EmbeddedTexts,
    Reply,
)

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 3.0
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
MAX_TEXTS = 256
"""Per request; OpenAI takes 2,048 of 300,000 tokens together, local servers less."""
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
"""The server never saw the question, so it cannot have been paid for."""
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
        self._base_url = httpx2.URL(base_url or OPENAI_URL)
        self._key_is_refused = False
        self._http = openai.DefaultHttpxClient(
            # Every redirect but a wrong address would take the key somewhere.
            follow_redirects=False,
            event_hooks={"response": [bound]},
        )
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url or OPENAI_URL,
            max_retries=0,
            # Compressed, a small reply could unfold into any size.
            default_headers={"Accept-Encoding": "identity"},
            http_client=self._http,
        )

    def check(self) -> None:
        """See `LanguageModel.check`: there is no breaker here."""

    def ask(
        self,
        model: str,
        instructions: str,
        question: str,
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
    ) -> Reply:
        """See `LanguageModel.ask`."""
        return self._complete(model, instructions, question, schema, max_tokens, timeout_s)

    def see(
        self,
        model: str,
        instructions: str,
        question: str,
        picture: bytes,
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
    ) -> Reply:
        """See `LanguageModel.see`. Some local servers take no WebP; JPEG is known to all."""
        url = f"data:{_media_type(picture)};base64,{base64.b64encode(picture).decode()}"
        parts: list[dict[str, Any]] = [
            {"type": "text", "text": question},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]
        return self._complete(model, instructions, parts, schema, max_tokens, timeout_s)

    def embed(
        self, model: str, texts: Sequence[str], *, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
    ) -> EmbeddedTexts:
        """See `LanguageModel.embed`."""
        if not 1 <= len(texts) <= MAX_TEXTS or not all(texts):
            raise InvalidInput(f"1 to {MAX_TEXTS} texts are embedded at once, none of them empty.")
        with self._errors_wrapped():
            response = self._client.embeddings.with_raw_response.create(
                model=model,
                input=list(texts),
                # The SDK's own default is base64, which not every local server knows.
                encoding_format="float",
                timeout=_timeout(timeout_s),
            )
        self._key_is_refused = False
        return replies.vectors(response.content, len(texts))

    def draw(
        self, model: str, prompt: str, size: str, *, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
    ) -> Drawing:
        """See `LanguageModel.draw`."""
        # GPT image models always send the bytes and refuse to be asked for them; others send an
        # address unless they are.
        is_asked = not model.startswith(("gpt-image", "chatgpt-image"))
        form: dict[str, Any] = {"response_format": "b64_json"} if is_asked else {}
        with self._errors_wrapped(refusals.of_drawing):
            response = self._client.images.with_raw_response.generate(
                model=model,
                prompt=prompt,
                size=size,
                n=1,
                timeout=_timeout(timeout_s),
                **form,
            )
        self._key_is_refused = False
        drawn = replies.drawing(response.content)
        if isinstance(drawn, Drawing):
            return drawn
        return Drawing(self._fetch(drawn, timeout_s), None, None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _complete(
        self,
        model: str,
        instructions: str,
        content: str | list[dict[str, Any]],
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float,
    ) -> Reply:
        messages: Any = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": content},
        ]
        limit: dict[str, Any] = {self._limit_name: max_tokens}
        with self._errors_wrapped():
            response = self._client.chat.completions.with_raw_response.create(
                model=model,
                messages=messages,
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": str(schema["title"]),
                        "schema": dict(schema),
                        "strict": True,
                    },
                },
                timeout=_timeout(timeout_s),
                **limit,
            )
        self._key_is_refused = False
        return replies.reply(response.content)

    def _fetch(self, address: str, timeout_s: float) -> bytes:
        """Return the picture at an address of the server's own, and of nobody else's; without the key."""
        try:
            url = httpx2.URL(address)
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
        return response.content

    @contextlib.contextmanager
    def _errors_wrapped(
        self, refused: Callable[[int, str], MiradaError | None] = lambda status, code: None
    ) -> Iterator[None]:
        """Raise our errors for the SDK's; `refused` may know better what a status and code mean."""
        try:
            yield
        except openai.APIStatusError as error:
            known = refused(error.status_code, error.code or "")
            if known is not None:
                raise known from None
            # Without its cause: servers are known to repeat the key in what they say.
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, MiradaError):
                raise error.__cause__ from None
            if isinstance(error.__cause__, NOT_SENT):
                raise Unavailable(
                    "The language model cannot be reached; check OPENAI_BASE_URL if this goes on."
                ) from error
            if isinstance(error, openai.APITimeoutError):
                raise NoAnswer("The language model did not answer in time.") from error
            raise NoAnswer("The language model broke off before it had answered.") from error
        except openai.OpenAIError as error:
            raise GarbledReply("The language model's reply is not of its own format.") from error

    def _refusal(self, error: openai.APIStatusError) -> MiradaError:
        status, code = error.status_code, error.code or ""
        said = f"{status} {code}" if _CODE.fullmatch(code) else str(status)
        later = f"The language model answered {said}; it is asked again later."
        wait_s = replies.retry_after_s(error.response.headers)
        if status == TOO_MANY_REQUESTS:
            least_s = OUT_OF_MONEY_WAIT_S if code == OUT_OF_MONEY else 0
            return TooManyRequests(later, retry_after_s=max(wait_s, least_s))
        if status in GATEWAY_GAVE_UP:
            return NoAnswer(later, retry_after_s=wait_s)
        if status in WORTH_ANOTHER_TRY or status >= 500:
            return Unavailable(later, retry_after_s=wait_s)
        if status in KEY_REFUSED and code != MODEL_UNKNOWN:
            detail = f"The language model refuses OPENAI_API_KEY ({said})."
            if not self._key_is_refused:
                self._key_is_refused = True
                logger.error("%s Set a valid key and restart; nothing else depends on it.", detail)
            return KeyRefused(detail, retry_after_s=KEY_REFUSED_WAIT_S)
        return LanguageModelRefused(
            f"The language model refuses the request ({said}); check the model's name and "
            "OPENAI_BASE_URL."
        )


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
