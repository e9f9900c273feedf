"""Measures what searches say of what is there and what is not: whether anything relevant was found.

`python -m benchmarks.verdict` fills an SQLite database with the demo's 300 stickers, once with captions
and once without, measures its spaces as a worker does, and asks over the flow of every search:

- **present**: every sticker by its name. "Nothing relevant" is wrong.
- **absent**: 300 things that no sticker shows. "Nothing relevant" is right.
- **removed**: every sticker by its name, with all stickers of that thing left out of the search; counted
  are those whose thing was found relevant before.
- **scenes and nonsense**: sentences about other things, and random letters.
- **pictures**: noise and plain colours.

Nothing here was used to choose a constant: the probes of mirada/search/probe_things.json and the
drawings that constants were chosen on are of other things. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from benchmarks.classifier import table
from benchmarks.demo_set import ROOT, demo_pictures
from benchmarks.verdict_set import (
    Shelf,
    Weights,
    all_stickers,
    is_of,
    shelf_in,
    words_of,
)
from mirada.kernel.intervals import TWO_SIDED, wilson_low
from mirada.search.queries import Source
from mirada.search.request import DEFAULT_WEIGHTS

SEED = 20_251_130


PICTURES = "pictures"


LANGUAGES = ("en", "pt", "es")


BROAD_LEAST, BROAD_MOST = 3, 15
"""Stickers that share a keyword for it to be a broad question."""


def share_of(answers: Sequence[bool]) -> str:
    """Return the share that is true with its 95 % interval, as "0.93 (0.90 to 0.95)"."""
    if not answers:
        return "-"
    count, trials = sum(answers), len(answers)
    low = wilson_low(count, trials, TWO_SIDED)
    high = 1.0 - wilson_low(trials - count, trials, TWO_SIDED)
    return f"{count / trials:.2f} ({low:.2f} to {high:.2f})"


def nonsense(count: int, rng: np.random.Generator) -> list[str]:
    """Return texts of one to three words of random letters."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return [
        " ".join(
            "".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(rng.integers(1, 4))
        )
        for _ in range(count)
    ]


def empty_pictures(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return plain colours and noise of two kinds, in turn, (160, 160, 3) uint8."""
    shape = (160, 160, 3)
    made = [
        lambda: np.full(shape, rng.integers(0, 256, 3), np.uint8),
        lambda: rng.integers(0, 256, shape, dtype=np.uint8),
        lambda: np.clip(rng.normal(128, rng.uniform(10, 80), shape), 0, 255).astype(np.uint8),
    ]
    return [made[number % len(made)]() for number in range(count)]


def by_name(
    shelf: Shelf,
    stickers: Sequence[dict[str, Any]],
    places: Sequence[int],
    language: str,
    weights: Weights,
) -> tuple[list[bool], list[bool]]:
    """Return whether "nothing" is said of each present thing, and of those found with it removed."""
    same_as = {
        place: [at for at, other in enumerate(stickers) if is_of(stickers[place], other)]
        for place in places
    }
    present, removed = [], []
    for place in places:
        sticker = stickers[place]
        name = sticker["names"][language]
        present.append(shelf.says_nothing(name, weights))
        if not present[-1]:
            removed.append(shelf.says_nothing(name, weights, same_as[place]))
    return present, removed


def broad(stickers: Sequence[dict[str, Any]], language: str) -> list[str]:
    """Return the keywords that a few stickers share."""
    shared = Counter(word for each in stickers for word in set(each["keywords"][language]))
    return sorted(word for word, count in shared.items() if BROAD_LEAST <= count <= BROAD_MOST)


def fair_scenes(
    stickers: Sequence[dict[str, Any]], scenes: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """Return the scenes of which no sticker shows a part: no English word of theirs is a sticker's."""
    known = {word for each in stickers for word in words_of(each["names"]["en"])}
    return [scene for scene in scenes if not words_of(scene[0]) & known]


def examined(
    shelf: Shelf,
    stickers: Sequence[dict[str, Any]],
    things: Mapping[str, Any],
    weights: Weights,
    size: int,
    seed: int,
) -> list[list[Any]]:
    """Return a row of shares for each language."""
    rng = np.random.default_rng(seed)
    places = sorted(rng.permutation(len(stickers))[:size].tolist())
    absent = [things["absent"][at] for at in rng.permutation(len(things["absent"]))[:size]]
    scenes, random_letters = fair_scenes(stickers, things["scenes"]), nonsense(40, rng)
    rows = []
    for at, language in enumerate(LANGUAGES):
        present, removed = by_name(shelf, stickers, places, language, weights)
        rows.append(
            [
                language,
                share_of(present),
                share_of([shelf.says_nothing(word, weights) for word in broad(stickers, language)]),
                share_of([shelf.says_nothing(names[at], weights) for names in absent]),
                share_of(removed),
                share_of(
                    [
                        shelf.says_nothing(text, weights)
                        for text in [*(scene[at] for scene in scenes), *random_letters]
                    ]
                ),
            ]
        )
    return rows


HEADS = [
    "language",
    "present: wrongly nothing",
    "broad words: wrongly nothing",
    "absent: nothing",
    "removed: nothing",
    "scenes and nonsense: nothing",
]


def report(title: str, rows: list[list[Any]], heads: Sequence[str] = tuple(HEADS)) -> None:
    """Print one table."""
    print(f"\n{title}\n")
    print(table(list(heads), rows))


def main() -> None:
    """Fill, measure, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=300, help="things a language, at most 300")
    parser.add_argument("--seed", type=int, default=SEED, help="of which things, and of noise")
    parser.add_argument(
        "--collections",
        nargs="+",
        choices=[PICTURES, *LANGUAGES],
        default=[PICTURES, "en"],
        help="pictures alone, or with captions in a language",
    )
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    listed = all_stickers()
    things = json.loads((ROOT / "benchmarks" / "verdict_things.json").read_text(encoding="utf-8"))
    drawn = (arguments.size, arguments.seed)
    for collection in arguments.collections:
        language = None if collection == PICTURES else collection
        with tempfile.TemporaryDirectory() as temporary:
            shelf = shelf_in(Path(temporary), listed, language)
            try:
                what = "Pictures alone" if language is None else f"Captions in {language}"
                ways: dict[str, Weights] = {"in: all": DEFAULT_WEIGHTS}
                if language is None:
                    ways = {"in: pictures": None, **ways}
                else:
                    ways["in: captions"] = {Source.CAPTIONS: 1.0}
                for way, weights in ways.items():
                    report(f"{what}, {way}", examined(shelf, listed, things, weights, *drawn))
                if language is None:
                    rng = np.random.default_rng(arguments.seed)
                    empty = [shelf.says_nothing_like(each) for each in empty_pictures(300, rng)]
                    whole = [not shelf.says_nothing_like(each) for each in demo_pictures()]
                    rows = [[share_of(empty[at::3]) for at in range(3)] + [share_of(whole)]]
                    heads = [
                        "plain: nothing",
                        "noise: nothing",
                        "grey noise: nothing",
                        "stored: found",
                    ]
                    report("Pictures as queries", rows, heads)
            finally:
                shelf.runtime.close()


if __name__ == "__main__":
    main()
