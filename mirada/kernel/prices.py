"""Prices of language model calls, and upper bounds of their costs, in millionths of a US dollar.

Costs are rounded up: an account may count a little too much, never too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mirada.kernel.errors import LanguageModelRefused
from mirada.kernel.model_families import family

MICROS = 1_000_000
"""Millionths in a dollar; also the number of tokens that prices are quoted for, so the two cancel."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model.

    Attributes:
        input_usd: US dollars per million tokens of the request.
        output_usd: US dollars per million tokens of the reply.
        picture_usd: US dollars per drawing in place of tokens; None where tokens are paid.
    """

    input_usd: Decimal
    output_usd: Decimal
    picture_usd: Decimal | None = None

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """Return the cost of so many tokens, or of one drawing, in millionths of a dollar."""
        if self.picture_usd is not None:
            return math.ceil(self.picture_usd * MICROS)
        return math.ceil(self.input_usd * input_tokens + self.output_usd * output_tokens)


BUILT_IN: Mapping[str, Price] = {
    model: Price(Decimal(given), Decimal(written))
    for model, given, written in (
        ("gpt-6-luna", "0.10", "0.50"),
        ("gpt-6.1-terra", "1.00", "5.00"),
        ("gpt-6.1-sol", "2.00", "10.00"),
        ("gpt-5.6-luna", "0.20", "1.20"),
        ("gpt-5.6-terra", "2.00", "12.00"),
        ("gpt-4o-mini", "0.15", "0.60"),
        ("gpt-4.1-mini", "0.40", "1.60"),
        ("text-embedding-3-small", "0.02", "0"),
        ("gpt-image-1", "5.00", "40.00"),
        ("gpt-image-1-mini", "2.00", "8.00"),
        ("gpt-image-2", "5.00", "30.00"),
        ("gpt-image-2.5-flare", "5.00", "30.00"),
        ("gpt-image-2.5-sunburst", "5.00", "30.00"),
        ("gpt-image-2.6-flare", "5.00", "30.00"),
        ("gpt-image-2.6-sunburst", "5.00", "30.00"),
    )
}
"""OpenAI's standard prices of requests under 272,000 tokens; source: its pages of models and prices, and
what resellers quote of them, read on 2026-11-30. LLM_PRICES_USD replaces prices that have changed."""


class PriceTable:
    """Prices by model."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        """Keep the built-in prices; the operator's own prices replace them by model."""
        self._prices = {**BUILT_IN, **(own or {})}

    def of(self, model: str) -> Price | None:
        """Return a model's price; a dated snapshot has its model's. None for an unknown model."""
        return self._prices.get(model) or self._prices.get(family(model))

    def cost_micros(
        self, model: str, input_tokens: int | None, output_tokens: int | None
    ) -> int | None:
        """Return the cost of a call in millionths of a dollar; None where it cannot be known."""
        price = self.of(model)
        is_counted = input_tokens is not None and output_tokens is not None
        if price is None or (price.picture_usd is None and not is_counted):
            return None
        return price.cost_micros(input_tokens or 0, output_tokens or 0)


def parse_prices(found: object) -> dict[str, Price]:
    """Return prices by model from decoded JSON.

    The JSON is `{"model": [0.15, 0.6]}`, US dollars per million tokens of request and reply, or
    `{"model": {"per_image": 0.04}}`.

    Raises:
        ValueError: the JSON has another form, or a price is not a number >= 0.
    """
    if not isinstance(found, dict):
        raise ValueError('expected JSON like {"gpt-6-luna": [0.1, 0.5]}')
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
    """The most tokens that a call can use."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits of one UTC day, and the prices they are measured with.

    Attributes:
        daily_micros: all users together, in millionths of a dollar; None: no limit.
        user_daily_micros: each user; None: no limit.
        prices: by model.
    """

    daily_micros: int | None
    user_daily_micros: int | None
    prices: PriceTable

    def most_of(self, model: str, bound: TokenBound) -> int:
        """Return what a call can cost at most, in millionths of a dollar; 0 without a known price.

        Raises:
            LanguageModelRefused: there is a limit, and no price for this model.
        """
        most = self.prices.cost_micros(model, bound.input_tokens, bound.output_tokens)
        is_limited = self.daily_micros is not None or self.user_daily_micros is not None
        if most is None and is_limited:
            raise LanguageModelRefused(
                f"What {model} costs is not known, so no budget can hold it: add it to "
                "LLM_PRICES_USD."
            )
        return most or 0


def usd(micros: int) -> float:
    """Return millionths of a dollar as dollars."""
    return micros / MICROS


def micros_of(dollars: float | None) -> int | None:
    """Return dollars as whole millionths, rounded down; None stays None."""
    return None if dollars is None else int(dollars * MICROS)
