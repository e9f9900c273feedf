"""Compares the engines: PyTorch and ONNX Runtime on the same models, each measured in a process of its own.

`python -m benchmarks.encoders` measures the bundled model, and the sticker model within it alone;
`--models all` also ViT-B-32 and the production model's shape, with random weights. It tells time to the first
vector, memory, pictures and texts a second. It tells a query's time alone and beside two busy neighbours, and
how far the vectors agree. For bundled models it adds the pace of the bare networks, and what the memory of
queries gains. `--size 0.2` is a fifth of the work. What a model understands is measured by
`make eval-encoder`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.encoders_bundled import bare_pace, query_memory
from mirada.adapters.encoders.engines import load_encoder
from mirada.adapters.encoders.exporting import Sample, compare, demo_sample
from mirada.adapters.encoders.model_exports import export_model
from mirada.ports import CalibratedEncoder

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = {
    "bundled": ROOT / "models" / "stickers" / "photos",
    "mirada-stickers": ROOT / "models" / "stickers",
}
"""The model for stickers and photographs, with both towers, and the sticker model alone."""
MODELS = (*SHIPPED, "ViT-B-32", "xlm-roberta-base-ViT-B-32")
ENGINES = ("torch", "onnx")
STICKERS, PHOTOGRAPHS, TEXTS = 300, 160, 600
BATCH = 16
NEIGHBOURS = 2
BETWEEN_QUERIES_S = 0.005
ASKED_PER_QUERY = 10
"""The memory of queries is asked this many times as often; what it gains shows with many."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much is measured: pictures one by one and in batches, texts, queries, and things compared."""

    alone: int
    batches: int
    texts: int
    queries: int
    compared: int

    @classmethod
    def of(cls, model: str, size: float) -> Work:
        """Return the work for a model: less for those that compute a hundred times as much."""
        counts = (40, 12, 600, 300, STICKERS) if model in SHIPPED else (8, 3, 96, 60, 24)
        return cls(*(max(2, round(size * count)) for count in counts))


def main() -> None:
    """Measure every model on each engine and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[*SHIPPED], choices=[*MODELS, "all"])
    parser.add_argument("--folder", type=Path, help="Where models with random weights are kept.")
    parser.add_argument("--photographs", type=Path, default=ROOT.parent / "shared" / "photos")
    parser.add_argument("--size", type=float, default=1.0, help="Share of the work that is done.")
    parser.add_argument("--json", type=Path, help="Write the figures there as well.")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(**json.loads(arguments.measure))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        kept = arguments.folder or Path(temporary)
        figures = {
            name: figures_of(name, kept, arguments.size, arguments.photographs)
            for name in (MODELS if "all" in arguments.models else arguments.models)
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


def figures_of(name: str, kept: Path, size: float, photographs: Path) -> dict[str, Any]:
    """Measure one model on both engines, print and return what was found."""
    folder = prepared(name, kept)
    print(f"\n{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    found: dict[str, Any] = {}
    for engine in ENGINES:
        asked = {"folder": str(folder), "engine": engine, "name": name, "size": size}
        command = [sys.executable, "-m", "benchmarks.encoders", "--measure", json.dumps(asked)]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found[engine] = json.loads(ran.stdout.splitlines()[-1])
    for what, in_torch in found["torch"].items():
        in_onnx = found["onnx"][what]
        print(
            f"  {what:<34} torch {in_torch:9.2f}   onnx {in_onnx:9.2f}   x {in_onnx / in_torch:.2f}"
        )
    found["agreement"] = agreement_of(name, folder, size, photographs)
    return found


def prepared(name: str, kept: Path) -> Path:
    """Return the folder of a model with its graphs; it is made where it is not there yet."""
    if name in SHIPPED:
        return SHIPPED[name]
    folder = kept / name
    if not (folder / "onnx.json").is_file():
        from benchmarks.random_models import make

        make(name, folder)
        export_model(str(folder), None, cache_dir=None, demo=ROOT / "demo")
    return folder


def measured(folder: str, engine: str, name: str, size: float) -> dict[str, float]:
    """Return the figures of one engine, in this process, which has loaded nothing before."""
    work = Work.of(name, size)
    started = time.perf_counter()
    encoder = load_encoder(folder, engine=engine, device="cpu")
    encoder.encode_texts(["a cat"])
    first_s = time.perf_counter() - started
    loaded_mb = memory_mb()
    sample = demo_sample(ROOT / "demo", max(BATCH, work.texts // 3))
    pictures, texts = sample.pictures[:BATCH], sample.texts[: work.texts]
    alone = per_second(lambda: encoder.encode_images(pictures[:1]), work.alone, 1)
    together = per_second(lambda: encoder.encode_images(pictures), work.batches, BATCH)
    in_bulk = per_second(lambda: encoder.encode_texts(texts), 2, len(texts))
    idle_ms = query_ms(encoder, texts, work.queries)
    with busy_neighbours():
        beside_ms = query_ms(encoder, texts, work.queries)
    found = {
        "first vector, s": first_s,
        "memory loaded, MB": loaded_mb,
        "memory at work, MB": memory_mb(),
        "pictures/s, one by one": alone,
        f"pictures/s, {BATCH} at once": together,
        "texts/s": in_bulk,
        "query p50, ms": idle_ms,
        f"query p50 beside {NEIGHBOURS} neighbours, ms": beside_ms,
        "beside neighbours / alone": beside_ms / idle_ms,
    }
    if name in SHIPPED:
        bare = bare_pace(Path(folder), engine, pictures, work.batches)
        found |= {"share of the bare networks' pace": together / bare}
        found |= query_memory(encoder, ASKED_PER_QUERY * work.queries)
    return found


def agreement_of(name: str, folder: Path, size: float, photographs: Path) -> dict[str, float]:
    """Compare the vectors of both engines; print and return the least cosine and the share of equal tops."""
    count = Work.of(name, size).compared
    torch_encoder, onnx_encoder = (
        load_encoder(str(folder), engine=engine, device="cpu") for engine in ENGINES
    )
    stickers = demo_sample(ROOT / "demo", count)
    texts = stickers.texts[: count * TEXTS // STICKERS]
    samples = {f"{len(stickers.pictures)} stickers": stickers.pictures}
    files = sorted(photographs.glob("*.JPEG"))[: count * PHOTOGRAPHS // STICKERS]
    if files:
        samples[f"{len(files)} photographs"] = [
            np.asarray(Image.open(file).convert("RGB")) for file in files
        ]
    found = {}
    for what, pictures in samples.items():
        agreement = compare(torch_encoder, onnx_encoder, Sample(pictures, texts))
        print(
            f"  {what} and {len(texts)} texts: cosine at least {agreement.least_cosine:.6f}, the same ten "
            f"nearest for {agreement.same_top:.1%}"
        )
        found[f"least cosine, {what}"] = agreement.least_cosine
        found[f"same ten nearest, {what}"] = agreement.same_top
    return found


def per_second(work: Callable[[], object], rounds: int, items: int) -> float:
    """Return items per second: the median of the rounds after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return items / statistics.median(times)


def query_ms(encoder: CalibratedEncoder, texts: Any, count: int) -> float:
    """Return the median time of a query in milliseconds; they come one by one, with a pause between."""
    times = []
    for number in range(count):
        started = time.perf_counter()
        encoder.encode_texts([f"{texts[number % len(texts)]} {number}"])
        times.append(time.perf_counter() - started)
        time.sleep(BETWEEN_QUERIES_S)
    return statistics.median(times) * 1e3


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """Keep as many cores busy as NEIGHBOURS, by processes that do nothing else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(NEIGHBOURS)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def memory_mb() -> float:
    """Return the resident memory of this process in MB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1000


if __name__ == "__main__":
    main()
