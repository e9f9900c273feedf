from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.kernel.zero_shot import (
    MARGIN_FLOOR,
    NONE_SPREADS,
    entropy_bits,
    is_ambiguous,
    logits,
    margin,
    none_of_these,
    sigmoid_probabilities,
    softmax,
    zero_shot,
)

logit_lists = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=50)


@given(logit_lists)
def test_probabilities_sum_to_one_and_keep_the_order_of_the_logits(values: list[float]):
    found = softmax(values)
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(values)]) >= 0).all()


@given(logit_lists, st.floats(-1e4, 1e4))
def test_a_constant_added_to_every_logit_changes_nothing(values: list[float], constant: float):
    assert softmax(np.array(values) + constant) == pytest.approx(softmax(values), abs=1e-9)


def test_softmax_agrees_with_the_definition_in_exact_arithmetic():
    values = [2.0, 1.0, -3.5, 0.25]
    total = math.fsum(math.exp(value) for value in values)
    assert softmax(values) == pytest.approx(
        [math.exp(value) / total for value in values], abs=1e-12
    )


def test_logits_of_ten_thousand_neither_overflow_nor_warn():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert softmax([1e4, -1e4, 1e4]).tolist() == [0.5, 0.0, 0.5]
        assert sigmoid_probabilities([1e4, -1e4, 0.0]).tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, 0.0], [-math.inf, 0.0]])
def test_what_cannot_be_a_distribution_is_refused(values: list[float]):
    with pytest.raises(InvalidInput):
        softmax(values)


@given(logit_lists)
def test_entropy_lies_between_certainty_and_indifference(values: list[float]):
    entropy = entropy_bits(softmax(values))
    assert 0 <= entropy <= math.log2(len(values)) + 1e-9


def test_entropy_is_in_bits_and_never_minus_zero():
    assert entropy_bits([0.25] * 4) == 2.0
    assert entropy_bits([0.5, 0.25, 0.25]) == 1.5
    assert math.copysign(1, entropy_bits([1.0, 0.0])) == 1.0


def test_the_margin_is_first_minus_second():
    assert margin([0.2, 0.5, 0.3]) == pytest.approx(0.2)
    assert margin([0.5, 0.5]) == 0.0
    assert margin([1.0]) == 1.0


@pytest.mark.parametrize(
    ("entropy", "lead", "expected"),
    [
        (2.5, 0.5, False),
        (2.6, 0.5, True),
        (0.1, MARGIN_FLOOR, False),
        (0.1, MARGIN_FLOOR * 0.99, True),
    ],
)
def test_doubt_is_much_entropy_or_little_margin(entropy: float, lead: float, expected: bool):
    assert is_ambiguous(entropy, lead, 2.5) is expected


@given(logit_lists)
def test_each_labels_own_probability_rises_with_its_logit(values: list[float]):
    found = sigmoid_probabilities(values)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert sigmoid_probabilities(-np.array(values)) == pytest.approx(1 - found, abs=1e-12)


def test_the_logit_scale_and_bias_are_the_models_own():
    labels = np.eye(3, 4, dtype=np.float32)
    picture = l2_normalise([3.0, 4.0, 0.0, 0.0])
    found = zero_shot(picture, labels, scale=10.0, bias=-2.0)
    assert found.cosines == pytest.approx([0.6, 0.8, 0.0], abs=1e-7)
    assert found.logits == pytest.approx([4.0, 6.0, -2.0], abs=1e-6)
    assert found.logits.dtype == np.float64
    assert found.probabilities == pytest.approx(softmax([4.0, 6.0, -2.0]), abs=1e-6)
    assert found.entropy_bits == pytest.approx(entropy_bits(found.probabilities))
    assert found.margin == pytest.approx(found.probabilities[1] - found.probabilities[0])
    assert logits([0.6], 10.0, -2.0).tolist() == [4.0]


def test_a_single_label_is_certain_and_a_thousand_are_no_trouble():
    rng = np.random.default_rng(3)
    labels = l2_normalise(rng.normal(size=(1_000, 16)))
    alone = zero_shot(labels[0], labels[:1], scale=100.0)
    assert (alone.probabilities.tolist(), alone.entropy_bits, alone.margin) == ([1.0], 0.0, 1.0)
    many = zero_shot(labels[7], labels, scale=100.0)
    assert many.probabilities.argmax() == 7
    assert many.probabilities.sum() == pytest.approx(1, abs=1e-9)


def test_labels_of_another_dimension_or_none_are_refused():
    picture = np.eye(1, 4, dtype=np.float32)[0]
    for labels in (np.eye(3, 5, dtype=np.float32), np.empty((0, 4), np.float32), picture):
        with pytest.raises(InvalidInput):
            zero_shot(picture, labels, scale=1.0)


def test_a_label_no_nearer_than_unrelated_texts_is_none_of_these():
    background = np.random.default_rng(0).normal(0.2, 0.03, 64)
    assert none_of_these(0.2, background)
    assert none_of_these(0.23, background)
    assert not none_of_these(0.30, background)


@given(st.floats(-0.5, 0.5), st.floats(0.05, 2.0), st.floats(-0.3, 0.3))
def test_none_of_these_does_not_depend_on_a_models_level_or_width(
    best: float, width: float, level: float
):
    background = np.linspace(-0.3, 0.3, 21)
    edge = background.mean() + NONE_SPREADS * background.std()
    if abs(best - edge) > 1e-6:
        moved = none_of_these(best * width + level, background * width + level)
        assert moved is none_of_these(best, background)


def test_without_a_background_the_label_stands():
    assert not none_of_these(-1.0, [])
