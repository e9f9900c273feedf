"""Cursors of searches: for the caller they were given to, whole, and nobody's to read."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from mirada.kernel.errors import InvalidInput
from mirada.search import cursors
from mirada.search.cursors import (
    Cursor,
    InRanking,
    Unranked,
    longest_content,
    new_ticket,
    now_s,
    packed_ids,
    seal,
    unpacked_ids,
    unseal,
)

SECRET, ME, OTHER = "a secret", "me", "other"
FIRST = Cursor(Unranked(b"what is asked", [3, 70, 9_000_000_000]), 20, 0, b"t" * 12)
LATER = replace(FIRST, place=InRanking(2**63 - 1, 4_980, 72))
PARKED = replace(FIRST, place=Unranked())


def given(cursor: Cursor, caller: str = ME, secret: str = SECRET) -> str:
    return seal(replace(cursor, made_at_s=now_s(), ticket=new_ticket()), caller, secret)


@pytest.mark.parametrize("cursor", [FIRST, LATER, PARKED])
def test_a_cursor_says_to_its_caller_what_was_put_into_it(cursor: Cursor) -> None:
    made = replace(cursor, made_at_s=now_s(), ticket=new_ticket())
    assert unseal(seal(made, ME, SECRET), ME, SECRET) == made


@pytest.mark.parametrize("cursor", [FIRST, LATER, PARKED])
def test_nobody_else_and_no_other_installation_can_use_it(cursor: Cursor) -> None:
    for caller, secret in ((OTHER, SECRET), ("", SECRET), (ME, "another secret")):
        with pytest.raises(InvalidInput) as refused:
            unseal(given(cursor), caller, secret)
        with pytest.raises(InvalidInput) as nonsense:
            unseal("A" * 80, caller, secret)
        assert refused.value.detail == nonsense.value.detail


@pytest.mark.parametrize("cursor", [FIRST, LATER, PARKED])
def test_every_changed_or_missing_character_is_refused(cursor: Cursor) -> None:
    text = given(cursor)
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        forged = text[:place] + other + text[place + 1 :]
        if _bytes_of(forged) == _bytes_of(text):
            continue  # The last character holds bits that mean nothing.
        for wrong in (forged, text[:place]):
            with pytest.raises(InvalidInput):
                unseal(wrong, ME, SECRET)


@pytest.mark.parametrize(
    "nonsense",
    ["", "=", "A", "*" * 80, "é" * 80, "\x00" * 80, "A" * 1_001, "A" * 100_000, "-_" * 60],
)
def test_nonsense_is_refused(nonsense: str) -> None:
    with pytest.raises(InvalidInput):
        unseal(nonsense, ME, SECRET)


def test_neither_the_question_nor_the_images_can_be_read() -> None:
    assert b"what is asked" not in _bytes_of(given(FIRST))
    assert given(FIRST) != given(FIRST)


def test_a_cursor_is_good_beyond_the_hour_in_which_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cursors, "now_s", lambda: 7_199)
    text = seal(replace(FIRST, made_at_s=cursors.now_s()), ME, SECRET)
    monkeypatch.setattr(cursors, "now_s", lambda: 7_201)
    assert unseal(text, ME, SECRET).made_at_s == 7_199


@pytest.mark.parametrize(
    "ids", [[], [1], [2**63 - 1], [300, 2, 200, 127, 128], list(range(1, 1_001))]
)
def test_ids_survive_packing(ids: list[int]) -> None:
    assert unpacked_ids(packed_ids(ids) + b"rest") == (sorted(ids), b"rest")


@pytest.mark.parametrize("ids", [[], [5, 6, 1_000_000], list(range(1, 101))])
def test_a_question_of_the_greatest_length_makes_the_longest_cursor(ids: list[int]) -> None:
    most = longest_content(ids)
    longest = given(replace(FIRST, place=Unranked(b"q" * most, ids)))
    assert cursors.MAX_CURSOR_CHARS - 4 <= len(longest) <= cursors.MAX_CURSOR_CHARS
    assert unseal(longest, ME, SECRET).place == Unranked(b"q" * most, ids)


def _bytes_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
