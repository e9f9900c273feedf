"""What questions to a language model cost, and at most can cost, in millionths of a US dollar.

Everything is rounded up: an account may count a little too much and never too little.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MICROS = 1_000_000
"""Millionths of a dollar in a dollar; also tokens in what prices are quoted for, so the two cancel."""
ENVELOPE_TOKENS = 100
"""What a server adds around messages: about ten tokens each, and a schema's own headings."""
MARK_TOKENS = 4
"""What some models add to a text's beginning and end before they embed it."""
PICTURE_TOKENS = 3_000
"""One picture at low detail: 2,833 with gpt-4o-mini, the most that OpenAI counts for any of its models."""
SQUARE_PIXELS = 1024 * 1024
DRAWING_TOKENS = 8_000
"""One drawing of 1024 x 1024 at high quality: about 7,030 with gpt-image-2, less with older ones."""
AUTO_PIXELS = 1536 * 1024
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs.

    Attributes:
        input_usd: dollars per million tokens of the question.
        output_usd: dollars per million tokens of the answer.
        picture_usd: dollars per drawing, instead of those; None where tokens are paid.
    """

    input_usd: Decimal
    output_usd: Decimal
    picture_usd: Decimal | None = None

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """Return what that many tokens, or the one drawing, cost."""
        if self.picture_usd is not None:
            return math.ceil(self.picture_usd * MICROS)
        return math.ceil(self.input_usd * input_tokens + self.output_usd * output_tokens)


def _tokens(input_usd: str, output_usd: str) -> Price:
    return Price(Decimal(input_usd), Decimal(output_usd))


BUILT_IN: Mapping[str, Price] = {
    "gpt-4o-mini": _tokens("0.15", "0.60"),
    "gpt-4.1-mini": _tokens("0.40", "1.60"),
    "text-embedding-3-small": _tokens("0.02", "0"),
    "gpt-image-1": _tokens("5.00", "40.00"),
    "gpt-image-1-mini": _tokens("2.00", "8.00"),
    "gpt-image-2": _tokens("5.00", "30.00"),
}
"""OpenAI's prices as of November 2026. They change: LLM_PRICES_USD says what is true today."""


class PriceTable:
    """Prices by model."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        """Keep the built-in prices and, above them, the operator's own."""
        self._prices = {**BUILT_IN, **(own or {})}

    def of(self, model: str) -> Price | None:
        """Return a model's price, a dated snapshot's by its model; None for an unknown one."""
        return self._prices.get(model) or self._prices.get(_SNAPSHOT.sub("", model))

    def cost_micros(
        self, model: str, input_tokens: int | None, output_tokens: int | None
    ) -> int | None:
        """Return what a call costs; None without a price, or where it depends on unknown tokens."""
        price = self.of(model)
        if price is None:
            return None
        if price.picture_usd is None and (input_tokens is None or output_tokens is None):
            return None
        return price.cost_micros(input_tokens or 0, output_tokens or 0)


def parse_prices(found: object) -> dict[str, Price]:
    """Return the prices that decoded JSON holds.

    Takes `{"model": [0.15, 0.6]}`, dollars per million tokens in and out, and
    `{"model": {"per_image": 0.04}}`.

    Raises:
        ValueError: another shape, or a price that is no number of 0 or more.
    """
    if not isinstance(found, dict):
        raise ValueError('expected JSON like {"gpt-4o-mini": [0.15, 0.6]}')
    return {str(model): _price(str(model), price) for model, price in found.items()}


def _price(model: str, found: object) -> Price:
    if isinstance(found, list) and len(found) == 2:
        return Price(_usd(model, found[0]), _usd(model, found[1]))
    if isinstance(found, dict) and set(found) == {"per_image"}:
        return Price(Decimal(0), Decimal(0), _usd(model, found["per_image"]))
    raise ValueError(
        f"the price of {model} is neither [input, output] per million tokens nor "
        '{"per_image": dollars}'
    )


def _usd(model: str, found: object) -> Decimal:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    if not is_number or not 0 <= found < 1_000_000:  # type: ignore[operator]
        raise ValueError(f"the price of {model} is not a number of dollars")
    return Decimal(str(found))


@dataclass(frozen=True, slots=True)
class TokenBound:
    """The most tokens that a question can cost."""

    input_tokens: int
    output_tokens: int


def bound_of_question(
    texts: Iterable[str],
    *,
    max_tokens: int,
    schema: Mapping[str, Any] | None = None,
    pictures: int = 0,
) -> TokenBound:
    """Return the most that a question may cost: no token is shorter than one byte of UTF-8."""
    given = sum(len(text.encode()) for text in texts)
    form = len(json.dumps(schema).encode()) if schema is not None else 0
    return TokenBound(given + form + ENVELOPE_TOKENS + pictures * PICTURE_TOKENS, max_tokens)


def bound_of_embedding(texts: Iterable[str]) -> TokenBound:
    """Return the most that embedding texts may cost."""
    return TokenBound(sum(len(text.encode()) + MARK_TOKENS for text in texts), 0)


def bound_of_drawing(prompt: str, size: str) -> TokenBound:
    """Return the most that one drawing may cost, at the highest quality."""
    match = _SIZE.fullmatch(size)
    pixels = int(match[1]) * int(match[2]) if match else AUTO_PIXELS
    drawn = math.ceil(DRAWING_TOKENS * max(1.0, pixels / SQUARE_PIXELS))
    return TokenBound(len(prompt.encode()) + ENVELOPE_TOKENS, drawn)


def usd(micros: int) -> float:
    """Return millionths of a dollar as dollars."""
    return micros / MICROS


def micros_of(dollars: float | None) -> int | None:
    """Return dollars as whole millionths, rounded down; None stays None."""
    return None if dollars is None else int(dollars * MICROS)
