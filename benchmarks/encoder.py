"""Measures an encoder: speed, agreement of batches, and what it finds among the demo's stickers.

`python -m benchmarks.encoder` needs only what the product needs. The figures of the model card, over
every concept, come from `python -m training.evaluate` (training/README.md).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mirada.adapters.encoders.openclip import OpenClipEncoder

ROOT = Path(__file__).resolve().parent.parent
FIRST_VECTOR = """
import time; started = time.perf_counter()
import sys
from mirada.adapters.encoders.openclip import OpenClipEncoder
OpenClipEncoder.load(sys.argv[1], sys.argv[2] or None, device=sys.argv[3]).encode_texts(["a cat"])
print(time.perf_counter() - started)
"""


def first_vector_s(model: str, pretrained: str | None, device: str) -> float:
    """Return seconds from a fresh interpreter's first import to its first vector."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST_VECTOR, model, pretrained or "", device],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ran.stdout.splitlines()[-1])


def per_second(work: Callable[[], object], items: int, rounds: int) -> float:
    """Return items per second: the median of several rounds after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return items / statistics.median(times)


def demo_pictures() -> tuple[list[np.ndarray], dict[str, list[str]]]:
    """Return the demo's stickers on white and their names by language."""
    listed = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    pictures = []
    for sticker in listed:
        with Image.open(ROOT / "demo" / sticker["file"]) as picture:
            rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    names = {
        language: [sticker["names"][language] for sticker in listed]
        for language in ("en", "pt", "es")
    }
    return pictures, names


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(ROOT / "models" / "stickers"))
    parser.add_argument("--pretrained")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    cold_s = first_vector_s(arguments.model, arguments.pretrained, arguments.device)
    encoder = OpenClipEncoder.load(arguments.model, arguments.pretrained, device=arguments.device)
    pictures, names = demo_pictures()
    batch = pictures[: arguments.batch]
    texts = names["es"][: arguments.batch]
    together = encoder.encode_images(batch)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in batch])
    vectors = encoder.encode_images(pictures)
    found = {}
    for language, words in names.items():
        scores = encoder.encode_texts(words) @ vectors.T
        rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
        found[language] = {f"recall@{k}": round(float((rank < k).mean()), 3) for k in (1, 10)}
    report = {
        "space": encoder.space.name,
        "device": encoder.device,
        "first vector, s": round(cold_s, 2),
        f"pictures/s at batch {arguments.batch}": round(
            per_second(lambda: encoder.encode_images(batch), len(batch), arguments.rounds), 1
        ),
        "pictures/s one by one": round(
            per_second(lambda: encoder.encode_images(batch[:1]), 1, arguments.rounds), 1
        ),
        f"texts/s at batch {arguments.batch}": round(
            per_second(lambda: encoder.encode_texts(texts), len(texts), arguments.rounds), 1
        ),
        "least cosine of batched and alone": float((together * alone).sum(axis=1).min()),
        "largest difference of two runs": float(
            np.abs(together - encoder.encode_images(batch)).max()
        ),
        f"name -> picture among {len(pictures)} demo stickers": found,
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
