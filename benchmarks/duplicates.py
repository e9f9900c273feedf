"""Precision and recall of each tier of duplicates, and the thresholds that follow: tables in Markdown.

python -m benchmarks.duplicates [--library 100000]

Thresholds are chosen on one half of the drawn pictures and reported on the other. With `--library` the time
is measured in which that many hashes are compared with one another.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.duplicates_set import (
    COPIES,
    KINDS,
    STICKER_COPIES,
    Pair,
    demo_stickers,
    on_white,
    pairs,
    strangers,
)
from mirada.config import Settings
from mirada.kernel.images import Seen
from mirada.kernel.picture_hash import GRID, Hashes, hashes_of, picture_hash
from mirada.kernel.same_picture import MOST_APART, MOST_UNLIKE, differences, same_pictures
from mirada.runtime import Runtime

COSINES = (0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96)
BATCH = 32
Parts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Half of the pictures, hashed and embedded: n pairs, m strangers."""

    pairs: Sequence[Pair]
    hashes: tuple[Hashes, Hashes, Hashes]
    cosines: npt.NDArray[np.float32]
    strange_cosines: npt.NDArray[np.float32]

    def recall(self, found: npt.NDArray[np.bool_], kind: str) -> float:
        """Return the share of the pairs of a kind that were found."""
        return float(found[[pair.kind == kind for pair in self.pairs]].mean())


def seen(image: Image.Image) -> Seen:
    """Return a picture as the decoder gives it."""
    opacity = np.asarray(image.getchannel("A")) if image.mode == "RGBA" else None
    return Seen(np.asarray(on_white(image)), opacity)


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=int, default=0)
    library = parser.parse_args().library
    with tempfile.TemporaryDirectory() as folder:
        runtime = _runtime(Path(folder))
        try:
            tuned, told = (_drawn(runtime, half) for half in (0, 1))
        finally:
            runtime.close()
    _tell_terms(tuned)
    _tell_stickers()
    _tell_cosines(tuned)
    for tier, found, wrong in (
        ("near", _near(told), _near_strangers(told)),
        ("same_subject, 0.92", told.cosines >= 0.92, int((told.strange_cosines >= 0.92).sum())),
        ("same_subject, 0.95", told.cosines >= 0.95, int((told.strange_cosines >= 0.95).sum())),
    ):
        _tell_tier(tier, told, found, wrong)
    if library:
        _tell_time(library)


def _runtime(folder: Path) -> Runtime:
    settings = Settings.from_env(
        data_dir=folder / "data",
        faiss_index_dir=folder / "faiss_indexes",
        database_url=f"sqlite:///{folder / 'mirada.db'}",
        clip_model="bundled",
    )
    runtime = Runtime(settings)
    runtime.migrate()
    return runtime


def _drawn(runtime: Runtime, half: int) -> Drawn:
    chosen = [pair for pair in pairs() if pair.base // 2 % 2 == half]
    strange = [image for place, image in enumerate(strangers()) if place // 2 % 2 == half]
    ones, others = [pair.one for pair in chosen], [pair.other for pair in chosen]
    hashed = [
        hashes_of([picture_hash(seen(each)) for each in some]) for some in (ones, others, strange)
    ]
    some, rest, odd = (_embedded(runtime, each) for each in (ones, others, strange))
    upper = np.triu_indices(len(odd), 1)
    return Drawn(
        chosen, (hashed[0], hashed[1], hashed[2]), (some * rest).sum(axis=1), (odd @ odd.T)[upper]
    )


def _embedded(runtime: Runtime, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
    starts = range(0, len(images), BATCH)
    shown = ([np.asarray(on_white(each)) for each in images[at : at + BATCH]] for at in starts)
    return np.concatenate([runtime.encoder.encode_images(batch) for batch in shown])


def _near(drawn: Drawn) -> npt.NDArray[np.bool_]:
    """Return which pairs are the same picture by the rules in force."""
    ones, others, _ = drawn.hashes
    found = np.zeros(len(drawn.pairs), bool)
    for piece in same_pictures(ones, others):
        found[piece.some[piece.some == piece.others]] = True
    return found


def _near_strangers(drawn: Drawn) -> int:
    """Return how many pairs of strangers are the same picture by the rules in force."""
    strange = drawn.hashes[2]
    found = {
        (one, other)
        for piece in same_pictures(strange, strange)
        for one, other in zip(piece.some.tolist(), piece.others.tolist(), strict=True)
        if one < other
    }
    return len(found)


def _differences(ones: Hashes, others: Hashes) -> tuple[Parts, Parts]:
    """Return of each pair (row by row) the part of told terms that differ, and those told in one alone."""
    found = []
    for turned in (ones, ones.mirrored()):
        apart, in_both, unlike = differences(turned, others)
        found.append((apart / np.maximum(in_both, 1), unlike.astype(np.float64)))
    is_turned = found[1][0] < found[0][0]
    return np.where(is_turned, found[1][0], found[0][0]), found[0][1]


def _tell_terms(drawn: Drawn) -> None:
    ones, others, strange = drawn.hashes
    apart, unlike = _differences(ones, others)
    print("Of the terms that tell something, in the half that thresholds are chosen on:\n")
    print(
        "| kind | other signs, 90 % | most | told in one alone, most |\n| --- | --: | --: | --: |"
    )
    for kind in KINDS:
        is_kind = [pair.kind == kind for pair in drawn.pairs]
        _tell_row(kind, apart[is_kind], unlike[is_kind])
    _tell_strangers(strange)


def _tell_row(kind: str, apart: Parts, unlike: Parts) -> None:
    print(f"| {kind} | {np.percentile(apart, 90):.3f} | {apart.max():.3f} | {unlike.max():.0f} |")


def _tell_strangers(strange: Hashes) -> None:
    """Print how near the nearest two come that are as bright in all fields."""
    least = min(
        float(_differences(strange[np.full(len(strange) - n - 1, n)], strange[n + 1 :])[0].min())
        for n in range(len(strange) - 1)
    )
    print(
        f"\nThe nearest two strangers: {least:.3f}. In force: {MOST_APART}, and {MOST_UNLIKE} of 256 told in "
        "one alone.\n"
    )


def _tell_stickers() -> None:
    """Print what becomes of the demo's stickers, many of them symmetric, when they are copied."""
    stickers = demo_stickers()
    own = hashes_of([picture_hash(seen(each)) for each in stickers])
    print(f"{len(stickers)} stickers, each copied:\n")
    print("| copy | other signs, 90 % | most | told in one alone, most | found |")
    print("| --- | --: | --: | --: | --: |")
    for name, way in STICKER_COPIES.items():
        copies = hashes_of([picture_hash(seen(way(each))) for each in stickers])
        apart, unlike = _differences(own, copies)
        found: set[int] = set()
        for piece in same_pictures(own, copies):
            found |= set(piece.some[piece.some == piece.others].tolist())
        told = f"{np.percentile(apart, 90):.3f} | {apart.max():.3f} | {unlike.max():.0f}"
        print(f"| {name} | {told} | {len(found) / len(stickers):.3f} |")
    wrong = {
        (one, other)
        for piece in same_pictures(own, own)
        for one, other in zip(piece.some.tolist(), piece.others.tolist(), strict=True)
        if one < other
    }
    print(f"\nStickers taken for another one: {len(wrong)} pairs of {len(stickers)}.\n")


def _tell_cosines(drawn: Drawn) -> None:
    print("Cosines, in the same half:\n")
    print(f"| least cosine | {' | '.join(KINDS)} | pairs of strangers |")
    print(f"| --: | {' | '.join('--:' for _ in KINDS)} | --: |")
    for least in COSINES:
        found = drawn.cosines >= least
        recalls = " | ".join(f"{drawn.recall(found, kind):.2f}" for kind in KINDS)
        print(f"| {least:.2f} | {recalls} | {int((drawn.strange_cosines >= least).sum())} |")
    print()


def _tell_tier(tier: str, drawn: Drawn, found: npt.NDArray[np.bool_], wrong: int) -> None:
    """Print recall and precision; of `near` a found pair that is no copy counts as wrong."""
    meant = COPIES if tier == "near" else KINDS
    right = sum(int(found[[pair.kind == kind for pair in drawn.pairs]].sum()) for kind in meant)
    others = int(found.sum()) - right
    strange = len(drawn.hashes[2])
    print(f"{tier}, in the other half ({len(found)} pairs, {strange} strangers):\n")
    print("| kind | pairs | recall |\n| --- | --: | --: |")
    for kind in KINDS:
        count = sum(pair.kind == kind for pair in drawn.pairs)
        print(f"| {kind} | {count} | {drawn.recall(found, kind):.2f} |")
    precision = right / max(1, right + others + wrong)
    print(f"\nPrecision {precision:.3f}: {right} right, {others} not meant, {wrong} strangers.\n")


def _tell_time(count: int) -> None:
    random = np.random.default_rng(1)
    words = random.integers(0, 2**63, (count, 5), dtype=np.int64).astype(np.uint64) << np.uint64(1)
    flat, told = np.zeros(count, np.uint8), np.full((count, 5), 2**64 - 1, np.uint64)
    colours = random.integers(0, 256, (count, GRID, GRID, 3), dtype=np.uint8)
    many = Hashes(words[:, :4], told[:, :4], words[:, 4], told[:, 4], flat + 60, flat, colours)
    began, computed = time.perf_counter(), time.process_time()
    for _ in _pieces(many):
        pass
    took, computed = time.perf_counter() - began, time.process_time() - computed
    print(
        f"{count:,} hashes compared with one another: {computed:.0f} s of one core, {took:.0f} s."
    )


def _pieces(many: Hashes) -> Iterable[object]:
    return itertools.chain(same_pictures(many, many))


if __name__ == "__main__":
    main()
