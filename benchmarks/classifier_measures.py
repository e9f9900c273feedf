"""The measures of `make eval`: the classifier on the demo's stickers, with seeded draws.

The same encoder gives the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.demo_set import Demo
from mirada.feedback.adaptive import Evidence, adapted_scores, affinities
from mirada.kernel.embeddings import Matrix
from mirada.kernel.labels import Label
from mirada.kernel.similarity import Floats
from mirada.kernel.zero_shot import none_of_these

ROUNDS = 20
"""Draws of verdicts per theme; the mean over 15 themes moves by less than 0.01 with another seed."""
BINS = 15
ALPHA = 0.4
"""The default of ADAPTIVE_ALPHA."""
HONEST_PEOPLE, HONEST_VERDICTS = 4, 8

Draw = tuple[np.ndarray, np.ndarray]
"""Positions of accepted and of rejected pictures."""


def ranking_quality(scores: Floats, belongs: np.ndarray) -> float:
    """Return the area under the ROC curve: how often what belongs outranks what does not.

    A tie counts half. 0.5 is chance. Hanley and McNeil, Radiology 143 (1982).
    """
    wins = np.sign(scores[belongs][:, None] - scores[~belongs][None, :])
    return float((wins.mean() + 1) / 2)


def calibration_error(probabilities: Floats, truth: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error: mean gap between confidence and accuracy, by bins.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3; bins of equal width.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == b].mean() - right[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    return float(sum(gaps))


def evidence_of(demo: Demo, draws: Sequence[Draw], people: Sequence[np.ndarray]) -> Evidence:
    """Return what was said, by whom: per draw, accepted then rejected pictures and their judges."""
    rows = np.concatenate([side for draw in draws for side in draw])
    signs = np.concatenate([np.full(len(s), s is d[0]) for d in draws for s in d])
    return Evidence(demo.about[rows], signs, np.concatenate(people).astype(np.int64))


def draws_of(belongs: np.ndarray, verdicts: int, rounds: int = ROUNDS) -> Iterator[Draw]:
    """Yield seeded draws of ceil(n / 2) pictures that belong and floor(n / 2) that do not."""
    rng = np.random.default_rng(5)
    for _ in range(rounds):
        yield (
            rng.choice(np.flatnonzero(belongs), (verdicts + 1) // 2, replace=False),
            rng.choice(np.flatnonzero(~belongs), verdicts // 2, replace=False),
        )


def learning(demo: Demo, verdicts: int, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Return by theme the ranking quality and accuracy over unseen pictures after n verdicts.

    All verdicts are one person's. Accuracy is the share that belongs among the best r, where r is
    how many belong (R-precision); equal scores in an order drawn at random.
    """
    found = {}
    for theme, belongs in demo.themes.items():
        rng, figures = np.random.default_rng(9), []
        for accepted, rejected in draws_of(belongs, verdicts, rounds):
            said = evidence_of(demo, [(accepted, rejected)], [np.zeros(verdicts)])
            unseen = np.setdiff1d(np.arange(len(belongs)), np.concatenate([accepted, rejected]))
            scores, kind = affinities(demo.about[unseen], said), belongs[unseen]
            order = np.lexsort((rng.random(len(unseen)), -scores))
            precision = kind[order[: kind.sum()]].mean()
            figures.append((ranking_quality(scores, kind), float(precision)))
        quality, accuracy = np.mean(figures, axis=0)
        found[theme] = (float(quality), float(accuracy))
    return found


def known_by_name(demo: Demo) -> dict[str, float]:
    """Return by theme the ranking quality that its name alone gives, as a prompt: no verdict."""
    named = demo.ensembles([Label(theme) for theme in demo.themes], described=False)
    near = demo.pictures.astype(np.float64) @ named.T.astype(np.float64)
    return {
        theme: ranking_quality(near[:, place], belongs)
        for place, (theme, belongs) in enumerate(demo.themes.items())
    }


def under_attack(demo: Demo, wrong: int, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Return by theme the ranking quality over unseen pictures without and with one adversary.

    HONEST_PEOPLE gave HONEST_VERDICTS between them; then one person gives `wrong` wrong ones, as far
    as there are pictures: at least six that belong are left to be ranked.
    """
    found = {}
    judges = np.arange(HONEST_VERDICTS // 2) % HONEST_PEOPLE
    for theme, belongs in demo.themes.items():
        rng, figures = np.random.default_rng(7), []
        for honest in draws_of(belongs, HONEST_VERDICTS, rounds):
            judged = np.zeros(len(belongs), dtype=bool)
            judged[np.concatenate(honest)] = True
            members, others = np.flatnonzero(belongs & ~judged), np.flatnonzero(~belongs & ~judged)
            attack = (
                rng.choice(others, min(wrong // 2, len(others) - 6), replace=False),
                rng.choice(members, min(wrong // 2, max(0, len(members) - 6)), replace=False),
            )
            judged[np.concatenate(attack)] = True
            people = [judges, judges, np.full(sum(map(len, attack)), 99)]
            unseen = ~judged
            figures.append(
                [
                    ranking_quality(affinities(demo.about[unseen], said), belongs[unseen])
                    for said in (
                        evidence_of(demo, [honest], people[:2]),
                        evidence_of(demo, [honest, attack], people),
                    )
                ]
            )
        before, after = np.mean(figures, axis=0)
        found[theme] = (float(before), float(after))
    return found


def labels_learned(demo: Demo, labels: Matrix, verdicts: int, rounds: int = ROUNDS) -> float:
    """Return the top-1 accuracy of the built-in labels after up to n verdicts on each of them.

    Half of the stickers may be judged, the other half is classified. Each verdict is another
    person's; a label with fewer pictures in the judged half gets fewer.
    """
    rng, right = np.random.default_rng(3), []
    known = np.flatnonzero(demo.label_of >= 0)
    for _ in range(rounds):
        mixed = rng.permutation(known)
        pool, unseen = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
        evidence = {}
        for label in range(len(labels)):
            fitting, other = pool[demo.label_of[pool] == label], pool[demo.label_of[pool] != label]
            draw = (
                rng.permutation(fitting)[: (verdicts + 1) // 2],
                rng.permutation(other)[: verdicts // 2],
            )
            evidence[label] = evidence_of(demo, [draw], [np.arange(sum(map(len, draw)))])
        for row, result in zip(unseen, demo.classified(unseen, labels), strict=True):
            scores = adapted_scores(result.probabilities, demo.about[row], evidence, ALPHA)
            right.append(scores.argmax() == demo.label_of[row])
    return float(np.mean(right))


def crowded(demo: Demo, labels: Matrix, people: int) -> tuple[float, float]:
    """Return how often a sticker is called a label that it is not, before and after a crowd's help.

    Each of `people` accepted one random sticker of that label, and nobody said anything else. The
    mean over the labels that ten stickers or more show.
    """
    rng, known = np.random.default_rng(4), np.flatnonzero(demo.label_of >= 0)
    called = []
    for label in range(len(labels)):
        fitting = known[demo.label_of[known] == label]
        if len(fitting) < 10:
            continue
        said = evidence_of(demo, [(rng.choice(fitting, people), fitting[:0])], [np.arange(people)])
        others = known[demo.label_of[known] != label]
        for row, result in zip(others, demo.classified(others, labels), strict=True):
            scores = adapted_scores(result.probabilities, demo.about[row], {label: said}, ALPHA)
            called.append([result.probabilities.argmax() == label, scores.argmax() == label])
    before, after = np.mean(called, axis=0)
    return float(before), float(after)


def none_told(demo: Demo, labels: Matrix, size: int, rounds: int = ROUNDS) -> tuple[float, float]:
    """Return how often "none of these" is said: with the right label in the set, and without it.

    The sets are of `size` labels drawn at random, the right one among them or not.
    """
    rng, known = np.random.default_rng(6), np.flatnonzero(demo.label_of >= 0)
    near = demo.pictures[known].astype(np.float64) @ labels.T.astype(np.float64)
    background = demo.pictures[known].astype(np.float64) @ demo.concepts.T.astype(np.float64)
    told = []
    for _ in range(rounds):
        for row, label in enumerate(demo.label_of[known]):
            wrong = rng.permutation(np.delete(np.arange(len(labels)), label))
            right = np.append(wrong[: size - 1], label)
            told.append(
                [
                    none_of_these(float(near[row, shown].max()), background[row])
                    for shown in (right, wrong[:size])
                ]
            )
    present, absent = np.mean(told, axis=0)
    return float(present), float(absent)
