"""Where a photograph's meaning lies: a vector for each of ImageNet's 1,000 kinds, from their names.

The text tower puts the names of a kind and of its families in three languages into the space of the
stickers. So a photograph of a cat is found by what finds a drawn cat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.photographs import FOLDER, rows_of

KINDS = Path(__file__).with_name("photo_classes.txt")
FAMILIES = Path(__file__).with_name("photo_families.txt")
WORDNET = FOLDER / "wordnet-base" / "usr" / "share" / "wordnet" / "data.noun"
LANGUAGES = ("en", "pt", "es")
FAMILY_SHARE = 0.6
"""Weight of the families beside the kind's own names, which have 1."""
FARTHER = 0.7
"""A family one step farther away counts this much of the nearer one."""
NEAR_STEPS = 2
"""An unlisted family counts, with its English names, only so many steps away ..."""
NEAR_KINDS = 12
"""... and only with at most so many kinds in it; others are too general to tell anything."""
Matrix = npt.NDArray[np.float32]
Names = dict[str, tuple[str, ...]]
"""Language -> names, the usual one first."""


@dataclass(frozen=True)
class Kind:
    """One of the classifier's kinds: its number in WordNet 3.0, and its names."""

    number: str
    names: Names


def _names(cells: list[str]) -> Names:
    return {
        language: tuple(name.strip() for name in cell.split(","))
        for language, cell in zip(LANGUAGES, cells, strict=True)
    }


def kinds() -> list[Kind]:
    """Return the 1,000 kinds in the order of the classifier."""
    return [Kind(row[0], _names(row[1:])) for row in rows_of(KINDS)]


def families() -> dict[str, Names]:
    """Return the listed families: number in WordNet 3.0 -> names."""
    return {row[0]: _names(row[1:]) for row in rows_of(FAMILIES)}


class WordNet:
    """The nouns of WordNet 3.0: names and what each is a kind of."""

    def __init__(self, path: Path = WORDNET) -> None:
        """Read `data.noun` of Debian's wordnet-base."""
        self.names: dict[str, tuple[str, ...]] = {}
        self.above: dict[str, tuple[str, ...]] = {}
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith("  "):
                continue  # the licence
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            number = f"n{fields[0]}"
            words = fields[4 : 4 + 2 * count : 2]
            self.names[number] = tuple(word.replace("_", " ") for word in words)
            pointers = fields[5 + 2 * count :]
            self.above[number] = tuple(
                f"n{pointers[at + 1]}"
                for at in range(0, len(pointers) - 3, 4)
                if pointers[at] in ("@", "@i")
            )

    def families_of(self, number: str) -> list[list[str]]:
        """Return the numbers of what a noun is a kind of, by steps: the nearest first."""
        seen: set[str] = set()
        levels: list[list[str]] = []
        level = [number]
        while level:
            level = [up for low in level for up in self.above[low] if up not in seen]
            level = list(dict.fromkeys(level))
            seen.update(level)
            if level:
                levels.append(level)
        return levels


def class_vectors(encode: Callable[[list[str]], Matrix], wordnet: WordNet) -> Matrix:
    """Return (1000, d) unit rows.

    Args:
        encode: texts -> (n, d) unit rows, the text tower.
        wordnet: WordNet 3.0.
    """
    known = families()
    above = [wordnet.families_of(kind.number) for kind in kinds()]
    members: dict[str, int] = {}
    for levels in above:
        for number in {number for level in levels for number in level}:
            members[number] = members.get(number, 0) + 1

    vectors = encoded(encode, wordnet)

    @cache
    def mean(names: tuple[str, ...]) -> Matrix:
        return unit(np.mean([vectors[name] for name in names], axis=0))

    @cache
    def all_languages(number: str, step: int) -> Matrix | None:
        if number in known:
            return unit(np.mean([mean(names) for names in known[number].values()], axis=0))
        if step < NEAR_STEPS and members[number] <= NEAR_KINDS:
            return mean(wordnet.names[number][:2])
        return None

    rows = []
    for kind, levels in zip(kinds(), above, strict=True):
        own = unit(np.mean([mean(names) for names in kind.names.values()], axis=0))
        family = np.zeros_like(own)
        for step, level in enumerate(levels):
            for number in level:
                vector = all_languages(number, step)
                if vector is not None:
                    family = family + FARTHER**step * vector
        rows.append(unit(own + FAMILY_SHARE * unit(family)))
    return np.stack(rows).astype(np.float32)


def encoded(encode: Callable[[list[str]], Matrix], wordnet: WordNet) -> dict[str, Matrix]:
    """Return the vector of every name that a class vector may need; texts of one length go together."""
    names = [kind.names for kind in kinds()] + list(families().values())
    texts = {name for group in names for words in group.values() for name in words}
    for kind in kinds():
        for level in wordnet.families_of(kind.number)[:NEAR_STEPS]:
            texts.update(name for number in level for name in wordnet.names[number][:2])
    ordered = sorted(texts, key=lambda text: (len(text), text))
    batches = [ordered[at : at + 128] for at in range(0, len(ordered), 128)]
    return dict(zip(ordered, np.concatenate([encode(batch) for batch in batches]), strict=True))


def unit(vector: Matrix) -> Matrix:
    """Return the vector at length 1; a zero vector as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
