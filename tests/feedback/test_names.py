"""What a verdict is about: themes and asset ids as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.feedback.verdicts import image_hash
from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.errors import InvalidInput
from mirada.kernel.themes import theme_key


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("  Cute   Cats ", "cute cats"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Cafe\u0301", "café"),
        ("and/or", "and/or"),
        ("/a//b/", "a/b"),
        ("//", "/"),
        ("😺", "😺"),
        ("ΐ" * 100, "ΐ" * 100),
    ],
)
def test_spellings_of_one_theme_are_one(written: str, key: str) -> None:
    assert theme_key(written) == key


@given(st.text(max_size=120))
def test_a_key_fits_its_column_and_is_its_own_key(text: str) -> None:
    try:
        key = theme_key(text)
    except InvalidInput:
        return
    assert 1 <= len(key) <= 191
    assert len(key) > 100 or theme_key(key) == key


@pytest.mark.parametrize("written", ["", "  ", "\x00", "a\nb", "x" * 101, None, 7, ["a"], True])
def test_what_cannot_be_a_theme_is_refused(written: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        theme_key(written)
    assert refused.value.fields["theme"]


def test_an_asset_id_is_trimmed_and_may_be_absent() -> None:
    assert checked_asset_id(" sticker-7 ") == "sticker-7"
    assert checked_asset_id(None) is None
    assert checked_asset_id("x" * 191) == "x" * 191


@pytest.mark.parametrize("written", ["", " ", "a\x00b", "x" * 192, 7, False, ["a"]])
def test_what_cannot_be_an_asset_id_is_refused(written: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_asset_id(written)
    assert refused.value.fields["asset_id"]


def test_a_hash_is_64_hex_digits_in_either_case() -> None:
    assert image_hash("AB" * 32) == "ab" * 32
    for other in ("", "ab", "zz" * 32, "ab" * 33, "ab" * 10_000, "٣" * 64):
        assert image_hash(other) is None
