"""Texts and queries cut into words."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.keywords import (
    CUT_VERSION,
    MAX_QUERY_WORDS,
    MAX_TEXT_WORDS,
    folded,
    number_of,
    word_weights,
    words_of_query,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXTS)
def test_every_word_of_a_text_is_found_by_asking_for_the_text(text: str) -> None:
    assert set(words_of_query(text)) <= word_weights(text).keys()


@given(TEXTS)
def test_how_a_text_is_encoded_makes_no_difference(text: str) -> None:
    """macOS writes accents apart from their letters, and some keyboards write wide letters."""
    for form in ("NFC", "NFD"):
        assert words_of_query(unicodedata.normalize(form, text)) == words_of_query(text)


@given(TEXTS)
def test_what_is_folded_is_folded(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    "text",
    [
        "((((" * 5_000,
        ":." * 10_000,
        ":" + "1" * 20_000,
        "<" * 20_000,
        "<a:" * 7_000,
        "::1" * 7_000,
        "\u0301" * 20_000,
        "👩\u200d" * 10_000,
        "猫" * 20_000,
        "(a:1." + "0" * 20_000,
        ": " * 10_000,
        ":" + " " * 20_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    word_weights(text)
    words_of_query(text)
    assert time.process_time() - began < 1


def test_a_weight_grows_with_its_word_and_shrinks_with_the_text() -> None:
    once, twice = word_weights("cat dog"), word_weights("cat cat dog")
    assert 1 <= once["cat"] < twice["cat"] <= 2_200
    assert word_weights("cat " + "owl " * 50)["cat"] < once["cat"]
    assert word_weights("cat", None, "dog") == once
    assert word_weights(None, "", "...") == {}


def test_numbers_of_words_fit_a_signed_column_and_stay_what_they_are() -> None:
    """Whoever changes them, or what is cut, has to change CUT_VERSION."""
    assert (CUT_VERSION, number_of("cat")) == (1, 1843079001574132759)
    assert all(0 <= number_of(word) < 2**63 for word in ("", "cat", "猫", "🐱"))


def test_long_queries_and_texts_are_cut() -> None:
    many = " ".join(f"w{n}" for n in range(MAX_TEXT_WORDS + 10)) + " w0"
    assert len(words_of_query(many)) == MAX_QUERY_WORDS
    assert len(word_weights(many)) == MAX_TEXT_WORDS
    assert word_weights(many + " again" * 2)["again"]
