"""The classifier on the bundled encoder and the demo; `make eval` prints the figures themselves.

The bounds leave room for another bundled encoder, not for another formula.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.classifier import BEGIN, END, PAGE, table, write
from benchmarks.classifier_measures import (
    calibration_error,
    draws_of,
    evidence_of,
    known_by_name,
    labels_learned,
    learning,
    none_told,
    ranking_quality,
    under_attack,
)
from benchmarks.demo_set import ROOT, Demo
from mirada.feedback.adaptive import LARGEST_PUSH, affinities
from mirada.kernel.labels import DEFAULT_LABELS
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, nsfw_score

LARGEST_FALL = 0.15
"""What docs/decisions/0007 promises of the mean AUC under one adversary."""


@pytest.fixture(scope="module")
def demo(bundled_encoder: Any) -> Demo:
    return Demo.load(bundled_encoder)


@pytest.fixture(scope="module")
def described(demo: Demo) -> np.ndarray:
    return demo.ensembles(DEFAULT_LABELS, described=True)


def mean(found: dict[str, tuple[float, float]], place: int = 0) -> float:
    return float(np.mean([pair[place] for pair in found.values()]))


def test_eight_verdicts_teach_a_theme_whose_name_says_nothing(demo: Demo):
    assert len(demo.themes) >= 10
    assert mean(learning(demo, 0, rounds=1)) == 0.5
    assert 0.35 < np.mean(list(known_by_name(demo).values())) < 0.7
    few, many = mean(learning(demo, 2, rounds=6)), mean(learning(demo, 8, rounds=6))
    assert few > 0.75
    assert many > few
    assert many >= 0.9


@pytest.mark.parametrize("wrong", [8, 100])
def test_one_adversary_costs_no_more_than_documented(demo: Demo, wrong: int):
    attacked = under_attack(demo, wrong, rounds=4)
    assert mean(attacked, 0) - mean(attacked, 1) <= LARGEST_FALL


@pytest.mark.parametrize("wrong", [1, 8, 100])
def test_one_adversary_pushes_no_sticker_further_than_one_voice(demo: Demo, wrong: int):
    rng = np.random.default_rng(1)
    for belongs in demo.themes.values():
        honest = next(draws_of(belongs, 8, rounds=1))
        against = (rng.permutation(np.flatnonzero(~belongs))[:wrong], np.flatnonzero(belongs)[:0])
        judges = [np.arange(4), np.arange(4)]
        before = affinities(demo.about, evidence_of(demo, [honest], judges))
        people = [*judges, np.full(wrong, 99)]
        after = affinities(demo.about, evidence_of(demo, [honest, against], people))
        pushed = np.abs(after - before).max()
        assert 0 < pushed <= LARGEST_PUSH


def test_verdicts_on_labels_make_classification_better(demo: Demo, described: np.ndarray):
    before, after = (labels_learned(demo, described, n, rounds=6) for n in (0, 8))
    assert after > before > 0.35


def test_none_of_these_is_said_more_often_when_the_right_label_is_missing(
    demo: Demo, described: np.ndarray
):
    for size, missed, told in ((1, 0.4, 0.8), (5, 0.3, 0.5), (31, 0.1, 0.03)):
        present, absent = none_told(demo, described, size, rounds=1)
        assert present < missed
        assert absent > max(told, 1.5 * present)


def test_hardly_any_harmless_sticker_is_called_nsfw(demo: Demo):
    unsafe, safe = demo.encode(UNSAFE_PROMPTS), demo.encode(SAFE_PROMPTS)
    scores = [nsfw_score(unsafe @ row, safe @ row, demo.scale) for row in demo.pictures]
    assert np.mean(np.array(scores) >= 0.5) <= 0.01


def test_the_truth_names_every_sticker_once_at_most_and_only_built_in_labels():
    truth = json.loads((ROOT / "benchmarks" / "demo_truth.json").read_text(encoding="utf-8"))
    shown = [name for names in truth["labels"].values() for name in names]
    assert len(shown) == len(set(shown)) > 200
    assert set(truth["labels"]) <= {label.name for label in DEFAULT_LABELS}
    for facts in truth["themes"].values():
        assert len(facts["stickers"]) == len(set(facts["stickers"])) >= 10


def test_ranking_quality_counts_pairs_and_halves_ties():
    belongs = np.array([True, True, False, False])
    assert ranking_quality(np.array([4.0, 3.0, 2.0, 1.0]), belongs) == 1.0
    assert ranking_quality(np.array([1.0, 2.0, 3.0, 4.0]), belongs) == 0.0
    assert ranking_quality(np.array([1.0, 4.0, 1.0, 2.0]), belongs) == pytest.approx(2.5 / 4)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    sure = np.array([[0.9, 0.1]] * 10)
    assert calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0.0)
    assert calibration_error(sure, np.ones(10, dtype=int)) == pytest.approx(0.9)
    mixed = np.array([[1.0, 0.0], [0.6, 0.4]])
    assert calibration_error(mixed, np.array([0, 1])) == pytest.approx(0.3)


def test_the_page_has_the_figures_between_its_marks(tmp_path, monkeypatch):
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    copy = tmp_path / "evaluation.md"
    copy.write_text(page, encoding="utf-8")
    monkeypatch.setattr("benchmarks.classifier.PAGE", copy)
    write(table(["a"], [[0.12345], ["b"]]))
    written = copy.read_text(encoding="utf-8")
    assert "| 0.123 |\n| b |" in written
    assert written.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert written.partition(END)[2] == page.partition(END)[2]
