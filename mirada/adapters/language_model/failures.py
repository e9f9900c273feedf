"""Errors of a language model's server, read without trust in what it says: ours for each of the SDK's."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    MiradaError,
    ModelUnusable,
    NoAnswer,
    TooManyRequests,
    Unavailable,
)
from mirada.kernel.model_requests import PictureToDraw, Request

RETRY_AFTER_S = 5
"""When the server names no time; the ledger's own waits are longer from the second error on."""
MAX_RETRY_AFTER_S = 24 * 3_600
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
MODEL_UNKNOWN = frozenset(
    {"model_not_found", "model_not_available", "invalid_model", "deploymentnotfound"}
)
"""What servers call a model that is not there, or not for this key (then with 403), in lower case."""
OF_THE_REQUEST = frozenset({400, 403, 404, 410, 422})
UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
"""The model does not take what every request of ours holds."""
OUR_PARAMETERS = frozenset({"response_format", "reasoning_effort", "max_tokens", "detail"})
MODEL_WAIT_S = 3_600
"""What waits for another model is looked at once in so long; nothing is sent for it."""
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
_PARAMETER = re.compile(r"[a-z_.\[\]0-9]{1,60}")
_MODEL = re.compile(r"[\w./:@+-]{1,100}")


def error_for(error: openai.OpenAIError, request: Request[Any]) -> MiradaError:
    """Return our error for one of the SDK's; its message repeats nothing that a server said."""
    if isinstance(error, openai.APIStatusError):
        refusal = _of_model(error, request)
        if refusal is None and isinstance(request, PictureToDraw):
            refusal = _of_drawing(error)
        return refusal or _of_status(error, request)
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


def _said(error: openai.APIStatusError) -> str:
    code = str(error.code or "")
    return f"{error.status_code} {code}" if _CODE.fullmatch(code) else str(error.status_code)


def _of_model(error: openai.APIStatusError, request: Request[Any]) -> MiradaError | None:
    """Return what is wrong with the model of a request; None where something else is."""
    if error.status_code not in OF_THE_REQUEST:
        return None
    code, parameter = str(error.code or "").lower(), str(error.param or "")
    model = request.model if _MODEL.fullmatch(request.model) else "the model"
    if code in MODEL_UNKNOWN or (
        error.status_code in (400, 404) and (parameter == "model" or _is_missing(error, request))
    ):
        fault = f"The language model's server has no {model} for this key"
    elif code in UNSUPPORTED or parameter in OUR_PARAMETERS:
        named = f" ({parameter})" if _PARAMETER.fullmatch(parameter) else ""
        fault = f"{model} does not take what is asked of it{named}"
    else:
        return None
    return model_unusable(f"{fault} ({_said(error)})", request.setting)


def model_unusable(fault: str, setting: str) -> ModelUnusable:
    """Return the error of a model that cannot be used, with what to do about it."""
    return ModelUnusable(
        f"{fault}: set {setting} to another model and restart, and what waits is taken up.",
        retry_after_s=MODEL_WAIT_S,
    )


def _is_missing(error: openai.APIStatusError, request: Request[Any]) -> bool:
    """Return whether a server that knows no codes says so in words, as Ollama and vLLM do."""
    told = str(error.message).casefold()
    return request.model.casefold() in told and ("not found" in told or "not exist" in told)


def _of_status(error: openai.APIStatusError, request: Request[Any]) -> MiradaError:
    status, code, said = error.status_code, error.code or "", _said(error)
    later = f"The language model answered {said}; it is asked again later."
    wait_s = retry_after_s(error.response.headers)
    if status == TOO_MANY_REQUESTS:
        least_s = OUT_OF_MONEY_WAIT_S if code == OUT_OF_MONEY else 0
        return TooManyRequests(later, retry_after_s=max(wait_s, least_s))
    if status in GATEWAY_GAVE_UP:
        return NoAnswer(later, retry_after_s=wait_s)
    if status in WORTH_ANOTHER_TRY or status >= 500:
        return Unavailable(later, retry_after_s=wait_s)
    if status in KEY_REFUSED:
        return KeyRefused(
            f"The language model refuses OPENAI_API_KEY ({said}).",
            retry_after_s=KEY_REFUSED_WAIT_S,
        )
    return LanguageModelRefused(
        f"The language model refuses the request ({said}); check {request.setting} and "
        "OPENAI_BASE_URL."
    )


def _of_drawing(error: openai.APIStatusError) -> MiradaError | None:
    """Return what a refused drawing means; None where it means what any refused request does."""
    status, code = error.status_code, error.code or ""
    if status == 403:
        # The key is good for the rest: an organisation has to be verified for some models.
        return model_unusable(
            "The language model does not let this key use GENERATION_MODEL (403); OpenAI asks for "
            "the organisation to be verified",
            "GENERATION_MODEL",
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
