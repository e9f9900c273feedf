"""What a comment may say."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.errors import InvalidInput
from mirada.pictures.comments import LONGEST_DECOMPOSITION, MAX_COMMENT_CHARACTERS, comment_text
from testing.patience import Stopwatch

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
KEPT = [
    "x",
    "<script>alert(1)</script> & <b>\"bold\"</b> 'n'",
    "שלום \u202eevil\u202c \u2067مرحبا\u2069",
    "\u200fمرحبا",
    f"{FAMILY} \U0001f3f4\U000e0067\U000e0062\U000e007f ❤\ufe0f \U0001f44d\U0001f3fd",
    "one\ntwo\n\nthree",
    "{{ 7 * 7 }} %s \\n \\u0000 ' OR 1=1; --",
    "line\u2028separator",
    "日本語のコメント",
]


@pytest.mark.parametrize("text", KEPT)
def test_text_is_kept_as_it_was_written(text: str) -> None:
    assert comment_text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  a \n", "a"),
        ("\u3000a\u00a0", "a"),
        ("cafe\u0301", "café"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\tb", "a b"),
        ("a\x07b\x1b[31mc\x7fd\x85e\x9f", "ab[31mcde"),
        ("\x01 a", "a"),
    ],
)
def test_it_is_trimmed_composed_and_freed_of_control_characters(text: str, kept: str) -> None:
    assert comment_text(text) == kept


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\t\r ", "\u2003\u3000", "\x01\x02", "\u200b", "\ufeff\u200d \u2060", "\u202e"],
)
def test_where_there_is_nothing_to_see_there_is_no_comment(text: str) -> None:
    with pytest.raises(InvalidInput, match="empty") as refused:
        comment_text(text)
    assert list(refused.value.fields) == ["text"]


@pytest.mark.parametrize("text", ["a\x00b", "\ud83d", "a\ude00", "\x00"])
def test_what_no_database_stores_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not text"):
        comment_text(text)


@pytest.mark.parametrize("value", [None, 7, 1.5, True, b"bytes", ["a"], {"a": "b"}])
def test_what_is_no_string_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="is text"):
        comment_text(value)


@pytest.mark.parametrize("character", ["x", "\U0001f600", "é"])
def test_two_thousand_characters_fit_and_one_more_does_not(character: str) -> None:
    longest = character * MAX_COMMENT_CHARACTERS
    assert comment_text(f"  {longest}  ") == longest
    with pytest.raises(InvalidInput, match=r"2,000 characters; this has 2,001"):
        comment_text(longest + character)


def test_the_limit_is_that_of_the_composed_text() -> None:
    assert comment_text("e\u0301" * MAX_COMMENT_CHARACTERS) == "é" * MAX_COMMENT_CHARACTERS


def test_no_character_decomposes_into_more_than_the_limit_allows_for() -> None:
    longest = max(
        len(unicodedata.normalize("NFD", chr(code)))
        for code in range(0x110000)
        if not 0xD800 <= code <= 0xDFFF
    )
    assert longest == LONGEST_DECOMPOSITION


@pytest.mark.parametrize("length", [9_000, 20_000, 10_000_000])
def test_a_text_made_to_be_slow_is_refused_at_once(length: int) -> None:
    # Composed, the longest would take days; a minute is far from both.
    watch = Stopwatch()
    with pytest.raises(InvalidInput, match="2,000"):
        comment_text("\u0315\u0300" * (length // 2))
    assert watch.seconds < 60


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00")))
def test_what_was_kept_once_is_kept_as_it_is(text: str) -> None:
    try:
        kept = comment_text(text)
    except InvalidInput:
        return
    assert comment_text(kept) == kept
