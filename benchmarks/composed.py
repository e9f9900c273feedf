"""Measures ways to compose a query of several parts, on the demo's stickers.

`python -m benchmarks.composed` draws queries from the keywords that stickers share. Two words are
to find stickers that have both. A picture and a word are to find the picture's like that has the
word. With a minus before the word, they are to find its like without that. It prints nDCG@10 of
each way, and for a minus the share of the ten that has what was not wanted. `--queries` bounds each
set.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.classifier import table
from benchmarks.demo_set import ROOT, demo_pictures, encoder_of
from benchmarks.fusion import ndcg
from mirada.feedback.concepts import CONCEPTS
from mirada.kernel import composing
from mirada.kernel.composing import WeighedPart, blended, spread_of, taken
from mirada.kernel.embeddings import Matrix, Vector
from mirada.ports import CalibratedEncoder

SEED = 7
DEPTH = 10
COMMON, SHARED = 5, 2
"""Stickers that have a keyword, and that have two of them, for a query to be made of it."""
Part = tuple[str, Vector, float]
"""Its kind, "text" or "picture"; its vector; its weight."""
Way = Callable[[Sequence[Part]], np.ndarray]
"""Returns the order of all stickers for a query, best first."""


@dataclass(frozen=True)
class Task:
    """One query, the stickers that it means, those that it does not want, and the one it was made of."""

    parts: Sequence[Part]
    meant: np.ndarray
    unwanted: np.ndarray
    itself: int | None = None


@dataclass(frozen=True)
class Stickers:
    """The demo's vectors, and by keyword its vector and the (n,) bool of who has it."""

    pictures: Matrix
    words: dict[str, Vector]
    has: dict[str, np.ndarray]
    text_mean: Vector


def load(encoder: CalibratedEncoder) -> Stickers:
    """Encode the demo's pictures and keywords."""
    listed = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    held = [set(sticker["keywords"]["en"]) for sticker in listed]
    has = {word: np.array([word in each for each in held]) for word in sorted(set().union(*held))}
    has = {word: rows for word, rows in has.items() if rows.sum() >= COMMON}
    parts = np.array_split(np.stack(demo_pictures()), 10)
    return Stickers(
        np.concatenate([encoder.encode_images(list(part)) for part in parts]),
        dict(zip(has, encoder.encode_texts(list(has)), strict=True)),
        has,
        encoder.encode_texts(list(CONCEPTS)).mean(axis=0),
    )


def tasks(stickers: Stickers, most: int) -> dict[str, list[Task]]:
    """Return at most so many queries of each kind, drawn by a fixed seed."""
    has, words, pictures = stickers.has, stickers.words, stickers.pictures
    none = np.zeros(len(pictures), dtype=bool)
    found: dict[str, list[Task]] = {
        "two words": [],
        "picture + word": [],
        "word - word": [],
        "picture - word": [],
    }
    for one, other in itertools.combinations(has, 2):
        both = has[one] & has[other]
        if SHARED <= both.sum() < min(has[one].sum(), has[other].sum()):
            parts = [("text", words[one], 1.0), ("text", words[other], 1.0)]
            found["two words"].append(Task(parts, both, none))
    for one, other in itertools.permutations(has, 2):
        both, left = has[one] & has[other], has[one] & ~has[other]
        if both.sum() < SHARED or left.sum() < COMMON:
            continue
        minus = ("text", words[other], -1.0)
        found["word - word"].append(Task([("text", words[one], 1.0), minus], left, has[other]))
        for place in np.flatnonzero(has[one]).tolist():
            shown = ("picture", pictures[place], 1.0)
            if has[other][place]:
                found["picture - word"].append(Task([shown, minus], left, has[other], place))
            else:
                plus = ("text", words[other], 1.0)
                found["picture + word"].append(Task([shown, plus], both, none, place))
    rng = np.random.default_rng(SEED)
    return {
        name: [each[i] for i in rng.permutation(len(each))[:most]] for name, each in found.items()
    }


def summed(stickers: Stickers, parts: Sequence[Part], *, minus: float, centred: bool) -> np.ndarray:
    """Order by the weighted sum of vectors; less the mean text where `centred`."""
    total = np.zeros(stickers.pictures.shape[1])
    for kind, vector, weight in parts:
        mean = stickers.text_mean if centred and kind == "text" else 0.0
        total += weight * (minus if weight < 0 else 1.0) * (vector - mean)
    return np.argsort(-(stickers.pictures @ total), kind="stable")


def standardised(
    stickers: Stickers, parts: Sequence[Part], *, minus: float, robust: bool
) -> np.ndarray:
    """Order by the weighted sum of standard scores, with the median deviation where `robust`."""
    total = np.zeros(len(stickers.pictures))
    for _, vector, weight in parts:
        scores = stickers.pictures @ vector
        centre = np.median(scores)
        width = 1.4826 * np.median(np.abs(scores - centre)) if robust else scores.std()
        total += weight * (minus if weight < 0 else 1.0) * (scores - centre) / width
    return np.argsort(-total, kind="stable")


def ours(stickers: Stickers, parts: Sequence[Part]) -> np.ndarray:
    """Order as a search does."""
    weighed = [
        WeighedPart(place, vector, weight, spread_of(stickers.pictures @ vector))
        for place, (_, vector, weight) in enumerate(parts)
    ]
    query = blended([part for part in weighed if part.weight > 0])
    scores = stickers.pictures @ query
    lost = taken(stickers.pictures, [part for part in weighed if part.weight < 0])
    return np.argsort(-(scores - spread_of(scores).width * lost), kind="stable")


def without_minus(stickers: Stickers, parts: Sequence[Part]) -> np.ndarray:
    """Order by the parts that are wanted, as a search does: what a minus is to improve on."""
    return ours(stickers, [part for part in parts if part[2] > 0])


def row(way: Way, sets: dict[str, list[Task]]) -> list[float]:
    """Return nDCG@10 of each set, and of those with a minus the share of unwanted among the ten."""
    cells: list[float] = []
    for name, asked in sets.items():
        gains, shares = [], []
        for task in asked:
            order = [place for place in way(task.parts).tolist() if place != task.itself]
            meant = set(np.flatnonzero(task.meant).tolist()) - {task.itself}
            gains.append(ndcg(order, meant) if meant else 0.0)
            shares.append(float(task.unwanted[order[:DEPTH]].mean()))
        cells.append(float(np.mean(gains)))
        if "-" in name:
            cells.append(float(np.mean(shares)))
    return cells


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--pretrained")
    parser.add_argument("--queries", type=int, default=300, help="of each set at most")
    arguments = parser.parse_args()
    stickers = load(encoder_of(arguments.model, arguments.pretrained, "cpu"))
    sets = tasks(stickers, arguments.queries)
    ways: dict[str, Way] = {"without the minus": partial(without_minus, stickers)}
    for minus in (1.0, 0.7, 0.5):
        ways[f"sum, minus x {minus:g}"] = partial(summed, stickers, minus=minus, centred=False)
    ways["sum less the mean text, minus x 0.7"] = partial(summed, stickers, minus=0.7, centred=True)
    for minus in (1.0, 0.7, 0.5):
        name = f"standard scores, minus x {minus:g}"
        ways[name] = partial(standardised, stickers, minus=minus, robust=False)
    name = "the same by median deviations, minus x 0.7"
    ways[name] = partial(standardised, stickers, minus=0.7, robust=True)
    ways["standard scores, less what stands out (in use)"] = partial(ours, stickers)
    heads = []
    for name, asked in sets.items():
        heads += [f"{name} ({len(asked)})"] + (["unwanted in 10"] if "-" in name else [])
    print(table([f"nDCG@{DEPTH}", *heads], [[name, *row(way, sets)] for name, way in ways.items()]))
    print(
        f"\nStands out from {composing.STANDS_OUT:g} spreads on; takes {composing.TAKEN:g} for each."
    )


if __name__ == "__main__":
    main()
