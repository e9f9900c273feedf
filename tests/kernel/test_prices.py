"""A price is never reckoned too low, and a bound is never under what a call can use."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as some

from mirada.kernel.model_requests import PictureToDraw, Question
from mirada.kernel.prices import Price, PriceTable, parse_prices


def test_costs_are_whole_millionths_rounded_up() -> None:
    mini = PriceTable().of("gpt-4o-mini")
    assert mini is not None
    assert mini.cost_micros(100, 0) == 15, "0.15 x 100 is 15.000000000000002 in floating point"
    assert mini.cost_micros(1, 0) == 1
    assert mini.cost_micros(1_000_000, 1_000_000) == 750_000
    assert mini.cost_micros(0, 0) == 0


def test_a_price_by_the_picture_does_not_depend_on_tokens() -> None:
    price = parse_prices({"dall-e": {"per_image": 0.04}})["dall-e"]
    assert price.cost_micros(0, 0) == price.cost_micros(10, 5_000) == 40_000


def test_a_dated_model_costs_what_the_model_costs_and_an_unknown_one_is_unknown() -> None:
    table = PriceTable({"gpt-4o-mini-2024-07-18": Price(Decimal(9), Decimal(9))})
    assert table.of("gpt-4.1-mini-2025-04-14") == table.of("gpt-4.1-mini")
    assert table.of("gpt-4o-mini-2024-07-18") != table.of("gpt-4o-mini")
    assert table.of("gpt-4o") is table.of("gpt-4o-mini-tts") is None


@given(some.text(max_size=200), some.integers(0, 4_000))
def test_no_text_has_more_tokens_than_bytes(text: str, most: int) -> None:
    bound = Question("some-model", "x", text, {"title": text}, most).bound
    assert bound.output_tokens == most
    assert bound.input_tokens >= 2 * len(text.encode(errors="surrogatepass"))


def test_a_picture_and_a_drawing_are_bound_by_the_most_that_any_model_counts() -> None:
    without = Question("some-model", "cat", "", {}, 9)
    assert replace(without, picture=b"").bound.input_tokens >= without.bound.input_tokens + 2_833
    square, wide, auto = (
        PictureToDraw("some-model", "cat", size).bound
        for size in ("1024x1024", "1536x1024", "auto")
    )
    assert 7_033 <= square.output_tokens < wide.output_tokens
    assert auto == wide
