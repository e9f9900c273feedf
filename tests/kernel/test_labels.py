from __future__ import annotations

import hashlib
import unicodedata
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import (
    DEFAULT_LABELS,
    DEFAULT_TEMPLATES,
    MAX_LABELS,
    MAX_TEMPLATES,
    Label,
    ensemble,
    ensemble_key,
    ensemble_texts,
    normalised_description,
    normalised_name,
    normalised_templates,
)


@given(st.text(max_size=150))
def test_a_name_is_refused_or_stays_what_it_became(text: str):
    try:
        name = normalised_name(text)
    except InvalidInput:
        return
    assert 1 <= len(name) <= 100
    assert normalised_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert name.split() == name.split(" ")
    name.encode()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  my   pack \u00a0about food\n", "my pack about food"),
        ("cafe\u0301", "caf\u00e9"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
        ("می\u200cخواهم", None),
        ("!", "!"),
        ("{} and {0.__class__}", None),
        ("x" * 100, None),
    ],
)
def test_names_are_trimmed_and_composed_and_keep_what_people_write(text: str, name: str | None):
    assert normalised_name(text) == (text if name is None else name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\u200d",
        "\u0301",
        "a\x00b",
        "a\nb",
        "a\tb",
        "a\u2028b",
        "a\u202eb",
        "a\u200bb",
        "\ud800",
        "x" * 101,
        "x" * 10_000_000,
        " " * 10_000_000,
        None,
        7,
        True,
        ["cat"],
        b"cat",
    ],
)
def test_what_is_no_name_is_refused(text: object):
    with pytest.raises(InvalidInput):
        normalised_name(text)


def test_a_name_is_measured_after_trimming_and_composing():
    assert normalised_name(" " * 50 + "e\u0301" * 100 + " " * 50) == "\u00e9" * 100


def test_a_description_may_be_longer_than_a_name_but_not_endless():
    assert normalised_description("a" * 300) == "a" * 300
    with pytest.raises(InvalidInput, match="300"):
        normalised_description("a" * 301)


def test_templates_need_their_placeholder_exactly_once():
    assert normalised_templates(["a  {}", "a {}", "{}"]) == ("a {}", "{}")
    refused: tuple[list[object], ...] = ([], ["a"], ["{} {}"], [3], ["{}"] * (MAX_TEMPLATES + 1))
    for templates in refused:
        with pytest.raises(InvalidInput):
            normalised_templates(templates)
    with pytest.raises(InvalidInput):
        normalised_templates("{}")


def test_the_name_fills_the_templates_as_plain_text():
    label = Label("{0.__class__}", templates=("a {}", "%s {}"))
    assert ensemble_texts(label) == ("a {0.__class__}", "%s {0.__class__}")


def test_descriptions_fill_the_templates_too_and_only_when_passed():
    label = Label("cat", "a purring animal", ("{}", "a {} sticker"))
    assert ensemble_texts(label) == ("cat", "a cat sticker")
    assert ensemble_texts(label, descriptions=["a purring animal", "cat"]) == (
        "cat",
        "a cat sticker",
        "a purring animal",
        "a a purring animal sticker",
    )


def test_templates_of_the_call_come_before_the_labels_own_and_the_default_ones():
    assert ensemble_texts(Label("cat", templates=("own {}",)), templates=["{} now"]) == ("cat now",)
    assert ensemble_texts(Label("cat", templates=("own {}",))) == ("own cat",)
    assert len(ensemble_texts(Label("cat"))) == len(DEFAULT_TEMPLATES)


def test_the_key_names_the_texts_and_nothing_else():
    label = Label("cat", "one description", ("a {}", "b {}"))
    key = ensemble_key(label)
    assert key == hashlib.sha256(b'["a cat", "b cat"]').hexdigest()
    assert key == ensemble_key(Label("cat", "another", ("b {}", "a {}"), threshold=0.5))
    assert key == ensemble_key(Label("cat"), templates=("a {}", "b {}"))
    assert key != ensemble_key(label, descriptions=["one description"])
    assert key != ensemble_key(Label("dog", None, ("a {}", "b {}")))


def test_keys_tell_apart_where_one_text_ends_and_the_next_begins():
    assert ensemble_key(Label("x", templates=("{}",)), descriptions=["y"]) != ensemble_key(
        Label('x", "y', templates=("{}",))
    )


def test_the_ensemble_is_the_renormalised_mean_in_any_order():
    rows = np.eye(3, 8, dtype=np.float32)
    expected = np.zeros(8)
    expected[:3] = 1 / np.sqrt(3)
    for order in permutations(range(3)):
        vector = ensemble(rows[list(order)])
        assert vector.dtype == np.float32
        assert vector == pytest.approx(expected, abs=1e-7)


def test_an_ensemble_without_direction_is_refused():
    row = np.eye(1, 8, dtype=np.float32)
    for rows in (np.concatenate([row, -row]), row[:0], row[0]):
        with pytest.raises(InvalidInput):
            ensemble(rows)


def test_the_built_in_labels_and_templates_pass_their_own_rules():
    names = [label.name for label in DEFAULT_LABELS]
    assert len({name.casefold() for name in names}) == len(names) <= MAX_LABELS
    assert [normalised_name(name) for name in names] == names
    for label in DEFAULT_LABELS:
        assert label.description == normalised_description(label.description)
    assert normalised_templates(DEFAULT_TEMPLATES) == DEFAULT_TEMPLATES
