"""The names by which photographs are found: every kind in three languages, and none that stands for two."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from training.photo_words import LANGUAGES, Kind, Names, WordNet, class_vectors, families, kinds

NUMBER = re.compile(r"n\d{8}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_names_and_no_name_stands_for_two(language: str) -> None:
    named = [name for kind in kinds() for name in kind.names[language]]
    assert len(kinds()) == 1000
    assert all(kind.names[language] for kind in kinds())
    assert [name for name, count in Counter(named).items() if count > 1] == []


def test_numbers_are_wordnets_and_each_is_there_once() -> None:
    for numbers in ([kind.number for kind in kinds()], list(families())):
        assert all(NUMBER.fullmatch(number) for number in numbers)
        assert len(set(numbers)) == len(numbers)


def test_names_are_plain_words() -> None:
    every: list[Names] = [kind.names for kind in kinds()] + list(families().values())
    for names in every:
        assert set(names) == set(LANGUAGES)
        for name in (name for words in names.values() for name in words):
            assert name
            assert name == name.strip().lower()
            assert not set(name) & set("|/()[]_;:\t")
    # The three languages are not mixed up: only two of them have these letters.
    english = " ".join(name for names in every for name in names["en"])
    assert not set(english) & set("ñãõçáéíóúêô")
    assert "ñ" not in " ".join(name for names in every for name in names["pt"])
    assert not set(" ".join(name for names in every for name in names["es"])) & set("ãõçêô")


def test_a_class_vector_is_nearer_to_its_names_than_to_its_family_and_its_family_than_to_others(
    tmp_path,
) -> None:
    # A kind, its family, and what is too general to tell anything.
    first, second = kinds()[0].number, kinds()[1].number
    above = {kind.number: "n00000001" for kind in kinds()} | {first: "n02512053"}
    lines = [
        f"{number[1:]} 00 n 01 thing 0 001 @ {up[1:]} n 0000 | a thing"
        for number, up in above.items()
    ]
    lines += ["00000001 00 n 01 entity 0 000 | all", "02512053 00 n 01 fish 0 000 | swims"]
    path = tmp_path / "data.noun"
    path.write_text("  1 licence\n" + "\n".join(lines) + "\n", encoding="latin-1")
    wordnet = WordNet(path)
    assert wordnet.families_of(first) == [["n02512053"]]
    known: dict[str, np.ndarray] = {}

    def encode(texts: list[str]) -> np.ndarray:
        for text in texts:
            vector = np.random.default_rng(len(known)).normal(size=64)
            known.setdefault(text, vector / np.linalg.norm(vector))
        return np.stack([known[text] for text in texts]).astype(np.float32)

    vectors = class_vectors(encode, wordnet)
    assert vectors.shape == (1000, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def cosine(row: int, *texts: str) -> float:
        return float(vectors[row] @ encode(list(texts)).mean(axis=0))

    assert cosine(0, *_all(kinds()[0])) > cosine(0, "fish", "peixe", "pez") > 0.25
    # "entity" has a thousand kinds in it.
    assert abs(cosine(1, "entity")) < 0.3
    assert second != first


def _all(kind: Kind) -> list[str]:
    return [name for names in kind.names.values() for name in names]
