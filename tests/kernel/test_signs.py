"""Signs of a query: what is wanted, what is not, and what nobody can have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.errors import InvalidInput
from mirada.kernel.signs import read_signs


def read(query: str) -> list[tuple[str, bool]]:
    return [(each.text, each.is_wanted) for each in read_signs(query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", [("cat", True)]),
        ("  small   cat ", [("small cat", True)]),
        ('cat -dog "red hat"', [("cat", True), ("dog", False), ("red hat", True)]),
        ("cat -dog hat", [("cat hat", True), ("dog", False)]),
        ('-"red hat" +cat', [("cat", True), ("red hat", False)]),
        ('+"red hat"', [("red hat", True)]),
        ("black-and-white cat", [("black-and-white cat", True)]),
        (r"\-5 \+1 a\\b", [(r"-5 +1 a\b", True)]),
        (r'"he said \"no\""', [('he said "no"', True)]),
        (r"a\b", [(r"a\b", True)]),
        (
            "\u201cred hat\u201d \u2212dog \u2013cat",
            [("red hat", True), ("dog", False), ("cat", False)],
        ),
        ("gato \u00a0-c\u00e3o", [("gato", True), ("c\u00e3o", False)]),
    ],
)
def test_signs_are_read(query: str, expected: list[tuple[str, bool]]) -> None:
    assert read(query) == expected


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("cat -", "stands alone"),
        ("cat - dog", "stands alone"),
        ("cat --dog", "stands alone"),
        ("cat +-dog", "stands alone"),
        ('cat "red hat', "not closed"),
        ('cat -"red hat', "not closed"),
        ('cat red"hat', "inside a word"),
        ('"red"hat', "comes a blank"),
        ('cat ""', "nothing between"),
        ('cat -"  "', "nothing between"),
        ("-dog", "only says what is not wanted"),
        ('-dog -"red hat"', "only says what is not wanted"),
        ("", "only says what is not wanted"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(query: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        read_signs(query)
    assert refused.value.fields == {"text": [refused.value.detail]}


@given(st.text())
def test_any_text_is_read_or_refused(query: str) -> None:
    try:
        found = read_signs(query)
    except InvalidInput:
        return
    assert found
    assert all(each.text.strip() for each in found)


@given(st.text(min_size=1).filter(str.strip))
def test_whatever_stands_behind_backslashes_is_itself(text: str) -> None:
    escaped = "".join(
        f"\\{sign}" if sign in '"\\\u201c\u201d\u201e\u201f' else sign for sign in text
    )
    assert read(f'"{escaped}"') == [(text, True)]
