"""What a refused drawing means, where that is more than a refusal of any other request."""

from __future__ import annotations

from mirada.kernel.errors import LanguageModelRefused, MiradaError, TooManyRequests

DECLINED = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
"""OpenAI's newer and older image models, and Azure's: what a prompt that may not be drawn is told."""
NO_MONEY = frozenset({"billing_hard_limit_reached"})
"""The images API says so with 400, where the others say 429."""
NO_MONEY_WAIT_S = 600


def of_drawing(status: int, code: str) -> MiradaError | None:
    """Return the error for a status and code; None where any other request's is meant."""
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
