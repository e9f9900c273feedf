"""Measures an encoder's speed and start on two cores, as ratios to the bare libraries.

`python -m benchmarks.encoder`; what it understands is measured by `make eval-encoder`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from mirada.adapters.encoders.batching import BatchingEncoder
from mirada.adapters.encoders.openclip import OpenClipEncoder
from mirada.adapters.encoders.query_cache import QueryCache, QueryEncoder

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import open_clip"
FIRST_VECTOR = """
import sys
from mirada.adapters.encoders.openclip import OpenClipEncoder
OpenClipEncoder.load(sys.argv[1], sys.argv[2] or None, device=sys.argv[3]).encode_texts(["a cat"])
"""
STARTS = 3
DISTINCT_QUERIES, ASKED_QUERIES = 10_000, 3_000


def start_s(code: str, *arguments: str) -> float:
    """Return the median seconds that fresh interpreters take for `code`, their own start left out."""
    timed = (
        f"import time; started = time.perf_counter()\n{code}\nprint(time.perf_counter() - started)"
    )

    def once() -> float:
        command = [sys.executable, "-c", timed, *arguments]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return float(ran.stdout.splitlines()[-1])

    return statistics.median(once() for _ in range(STARTS))


def per_second(work: Callable[[], object], items: int, rounds: int) -> float:
    """Return items per second: the median of several rounds after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return items / statistics.median(times)


def demo_stickers(count: int) -> tuple[list[np.ndarray], list[str]]:
    """Return some of the demo's stickers, decoded, on white, and their Spanish names."""
    listed = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    pictures = []
    for sticker in listed[:count]:
        with Image.open(ROOT / "demo" / sticker["file"]) as picture:
            rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    return pictures, [sticker["names"]["es"] for sticker in listed[:count]]


def report_start(model: str, pretrained: str | None, device: str) -> None:
    """Print how long a fresh process takes to its first vector."""
    imports = start_s(IMPORTS)
    first = start_s(FIRST_VECTOR, model, pretrained or "", device)
    print(f"importing OpenCLIP         {imports:6.2f} s")
    print(f"load to the first vector   {first:6.2f} s  ({first / imports:.2f} x)")


def report_speed(encoder: OpenClipEncoder, batch: int, rounds: int) -> None:
    """Print pictures and texts per second; decoded pictures in, preprocessing included."""
    import torch

    pictures, texts = demo_stickers(batch)
    ready = torch.from_numpy(encoder.steps(pictures)).to(encoder.device)

    def bare() -> None:
        with torch.inference_mode():
            encoder.model.encode_image(ready, normalize=True).cpu()

    alone = per_second(bare, batch, rounds)
    print(f"the network alone, pictures ready, batches of {batch}   {alone:7.1f} pictures/s")
    for name, items, work in (
        (f"batches of {batch}", batch, lambda: encoder.encode_images(pictures)),
        ("one by one", 1, lambda: encoder.encode_images(pictures[:1])),
    ):
        speed = per_second(work, items, rounds)
        print(f"{name:<47} {speed:7.1f} pictures/s  ({speed / alone:.2f} x)")
    for name, items in ((f"batches of {batch}", batch), ("one by one", 1)):
        speed = per_second(lambda n=items: encoder.encode_texts(texts[:n]), items, rounds)  # type: ignore[misc]
        print(f"{name:<47} {speed:7.1f} texts/s")


def report_queries(encoder: OpenClipEncoder) -> None:
    """Print how much faster queries are with a memory of the popular ones, as a server asks them.

    Drawn by Zipf's law with exponent 1 from ten thousand; the memory is the product's.
    """
    rng = np.random.default_rng(7)
    weights = 1 / np.arange(1, DISTINCT_QUERIES + 1)
    drawn = rng.choice(DISTINCT_QUERIES, ASKED_QUERIES, p=weights / weights.sum())
    with closing(BatchingEncoder(encoder)) as batching:
        asked = batching.interactive()
        took: dict[str, float] = {}
        known: dict[str, float] = {}
        memory = QueryCache()
        for name, remembering in (
            ("every query encoded", QueryEncoder(asked, None)),
            ("with the memory", QueryEncoder(asked, memory)),
        ):
            started = time.perf_counter()
            for number in drawn:
                remembering.encode_texts([f"a cat and {number} balloons"])
            took[name] = (time.perf_counter() - started) / ASKED_QUERIES
            again = per_second(lambda r=remembering: r.encode_texts(["a popular query"]), 1, 200)  # type: ignore[misc]
            known[name] = 1 / again
        counts = memory.counts()
        for what, each in (
            (f"{ASKED_QUERIES} queries by Zipf's law", took),
            ("one popular query", known),
        ):
            without, with_memory = each.values()
            print(
                f"{what:<30} {without * 1e3:6.2f} ms a query, remembered {with_memory * 1e3:6.3f} ms"
                f"  ({without / with_memory:.1f} x)"
            )
        share = counts.hits / (counts.hits + counts.misses)
        print(f"known were {share:.0%}; memory {counts.bytes / 2**20:.1f} MiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(ROOT / "models" / "stickers"))
    parser.add_argument("--pretrained")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    # Before PyTorch counts them; child processes get the same.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    report_start(arguments.model, arguments.pretrained, arguments.device)
    encoder = OpenClipEncoder.load(arguments.model, arguments.pretrained, device=arguments.device)
    print(f"{encoder.space.name} on {encoder.device}, {arguments.cores} cores")
    report_speed(encoder, arguments.batch, arguments.rounds)
    report_queries(encoder)


if __name__ == "__main__":
    main()
