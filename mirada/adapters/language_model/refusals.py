"""The errors of OpenAI's SDK as errors of ours: what a status and its code mean for the next request."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import openai

from mirada.adapters.language_model.replies import retry_after_s
from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    NoAnswer,
    TooManyRequests,
    Unavailable,
)
from mirada.kernel.model_requests import PictureToDraw, Request

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
NO_MONEY_WAIT_S = 600
NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)
"""The server never saw the request, so it cannot have been paid for."""
_CODE = re.compile(r"[a-z_]{3,40}")


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
            retry_after_s=NO_MONEY_WAIT_S,
        )
    return LanguageModelRefused(
        "The language model refuses the request (400); check the length of the prompt, the size, "
        "GENERATION_MODEL and OPENAI_BASE_URL."
    )
