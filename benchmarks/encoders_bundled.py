"""Measures bundled models for `benchmarks.encoders`: what our own steps cost, and what known queries gain."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mirada.adapters.encoders.batching import BatchingEncoder
from mirada.adapters.encoders.cores import own_threads
from mirada.adapters.encoders.exports import Export
from mirada.adapters.encoders.photographs import MAX_PICTURES, PhotoFolder, on_onnx
from mirada.adapters.encoders.pixels import PictureSteps
from mirada.adapters.encoders.query_cache import QueryCache, QueryEncoder
from mirada.kernel.images import RgbImage
from mirada.ports import CalibratedEncoder

DISTINCT_QUERIES = 10_000
KNOWN_ROUNDS = 200


def bare_pace(folder: Path, engine: str, pictures: Sequence[RgbImage], rounds: int) -> float:
    """Return pictures a second through the networks of a model alone, all at once, their pixels ready.

    Args:
        folder: of a model that ships with the project.
        engine: "onnx" or "torch".
        pictures: (h, w, 3) uint8 each.
        rounds: how often; the median counts.
    """
    tower = PhotoFolder.read(folder)
    stickers = folder if tower is None else tower.sticker_folder
    networks = [_network_of_stickers(stickers, engine, pictures)]
    if tower is not None:
        networks.append(_network_of_photographs(tower, engine, pictures))

    def run() -> None:
        for network in networks:
            network()

    run()
    return len(pictures) / statistics.median(_seconds(run) for _ in range(rounds))


def _network_of_stickers(
    folder: Path, engine: str, pictures: Sequence[RgbImage]
) -> Callable[[], object]:
    if engine == "onnx":
        from mirada.adapters.encoders.onnx_encoder import Session

        export = Export.read(folder)
        assert export is not None, folder
        session = Session(str(folder / export.image_graph), own_threads())
        ready_made = PictureSteps(export.preprocessing)(pictures)
        return lambda: session.run(ready_made)
    import torch

    from mirada.adapters.encoders.openclip import OpenClipEncoder

    encoder = OpenClipEncoder.load(str(folder), device="cpu")
    ready = torch.from_numpy(encoder.steps(pictures))

    def run() -> object:
        with torch.inference_mode():
            return encoder.model.encode_image(ready, normalize=True)

    return run


def _network_of_photographs(
    tower: PhotoFolder, engine: str, pictures: Sequence[RgbImage]
) -> Callable[[], object]:
    if engine == "onnx":
        rows = on_onnx(tower, own_threads())
    else:
        from mirada.adapters.encoders.photo_tower import on_torch

        rows = on_torch(tower, "cpu")
    ready = PictureSteps(tower.preprocessing)(pictures)
    runs = [ready[at : at + MAX_PICTURES] for at in range(0, len(ready), MAX_PICTURES)]
    return lambda: [rows(run) for run in runs]


def query_memory(encoder: CalibratedEncoder, asked: int) -> dict[str, float]:
    """Return what the memory of queries gains, as a server asks: through the batcher, one by one.

    Queries are drawn by Zipf's law with exponent 1 from ten thousand.

    Args:
        encoder: of the texts.
        asked: how many queries.
    """
    rng = np.random.default_rng(7)
    weights = 1 / np.arange(1, DISTINCT_QUERIES + 1)
    drawn = rng.choice(DISTINCT_QUERIES, asked, p=weights / weights.sum())
    memory = QueryCache()
    with closing(BatchingEncoder(encoder)) as batching:
        forgetful = QueryEncoder(batching.interactive(), None)
        remembering = QueryEncoder(batching.interactive(), memory)
        each = [_ms_each(which, drawn) for which in (forgetful, remembering)]
        counts = memory.counts()
        known = _ms_each(remembering, [drawn[0]] * KNOWN_ROUNDS)
    return {
        f"{asked} queries by Zipf, ms each": each[0],
        "the same with the memory, ms each": each[1],
        "a known query, microseconds": known * 1000,
        "known of them, share": counts.hits / (counts.hits + counts.misses),
        "memory of queries, MB": counts.bytes / 1e6,
    }


def _ms_each(asking: Any, numbers: Sequence[int] | np.ndarray) -> float:
    def ask() -> None:
        for number in numbers:
            asking.encode_texts([f"a cat and {number} balloons"])

    return _seconds(ask) / len(numbers) * 1e3


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
