"""Measures how fast pictures come in: upload, store, ledger, decode, embed; against a bare encoder loop.

`python -m benchmarks.ingest` prints ratios of one run on one machine: the figures to compare.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from sqlalchemy import func, select

from mirada.config import Settings
from mirada.db.models import Image
from mirada.kernel.images import ImageStatus
from mirada.people import users
from mirada.pictures.folder_import import import_folder
from mirada.runtime import Runtime
from testing.registering import take_in
from workers import in_process

STICKER_PX = 224
PHOTO_PX = (4_000, 3_000)
UPLOADERS = 8
"""As many as a web process has threads."""


def stickers(folder: Path, count: int) -> list[Path]:
    """Draw distinct stickers with transparency into a folder, as PNG."""
    random = np.random.default_rng(7)
    paths = []
    for number in range(count):
        coarse = random.integers(0, 256, (7, 7, 4), dtype=np.uint8)
        sticker = Picture.fromarray(coarse, "RGBA").resize((STICKER_PX, STICKER_PX))
        paths.append(folder / f"{number}.png")
        sticker.save(paths[-1])
    return paths


def photograph(folder: Path) -> Path:
    """Draw a 12-megapixel JPEG with a photograph's amount of detail."""
    random = np.random.default_rng(7)
    detail = random.integers(0, 256, (750, 1_000, 3), dtype=np.uint8)
    path = folder / "photograph.jpg"
    Picture.fromarray(detail).resize(PHOTO_PX, Picture.Resampling.BICUBIC).save(path, quality=90)
    return path


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median time of a call after one to warm up."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1_000 * statistics.median(times)


def bare_pixels(path: Path, side_px: int) -> np.ndarray:
    """Decode as a script would, in this process: no limits, no checks."""
    with Picture.open(io.BytesIO(path.read_bytes())) as image:
        image.draft("RGB", (side_px, side_px))
        return np.asarray(image.convert("RGB"))


def report_decoding(runtime: Runtime, sticker: Path, photo: Path, side_px: int) -> None:
    """Print what the sandbox costs."""
    for name, path, rounds in (("sticker, 224 px", sticker, 100), ("photograph, 12 MP", photo, 8)):
        bare_ms = milliseconds(lambda p=path: bare_pixels(p, side_px), rounds)  # type: ignore[misc]
        decode_ms = milliseconds(
            lambda p=path: runtime.decoder.decode(p, side_px),  # type: ignore[misc]
            rounds,
        )
        inspect_ms = milliseconds(lambda p=path: runtime.decoder.inspect(p), rounds)  # type: ignore[misc]
        print(
            f"{name}: in process {bare_ms:.2f} ms, in the sandbox {decode_ms:.2f} ms "
            f"({decode_ms - bare_ms:+.2f}), checked on arrival {inspect_ms:.2f} ms"
        )


def bare_loop(runtime: Runtime, paths: list[Path], batch: int) -> float:
    """Return pictures/s of decoding and encoding in a loop, nothing kept."""
    encoder = runtime.encoder
    side_px = 2 * encoder.input_side_px
    encoder.encode_images([bare_pixels(paths[0], side_px)] * batch)
    began = time.perf_counter()
    for start in range(0, len(paths), batch):
        encoder.encode_images([bare_pixels(path, side_px) for path in paths[start : start + batch]])
    return len(paths) / (time.perf_counter() - began)


def wait_until_ready(runtime: Runtime, count: int) -> None:
    """Return when so many images are READY."""
    ready = select(func.count(Image.id)).where(Image.status == ImageStatus.READY)
    while True:
        with runtime.reading() as session:
            if session.execute(ready).scalar_one() == count:
                return
        time.sleep(0.1)


def upload(runtime: Runtime, owner_id: int, path: Path) -> None:
    """Do what a POST does behind its HTTP."""
    staged = runtime.image_store.stage()
    staged.stream.write(path.read_bytes())
    take_in(
        runtime,
        staged,
        declared_media_type="image/png",
        filename=path.name,
        owner_id=owner_id,
        is_public=False,
    )


@contextmanager
def site(folder: Path) -> Iterator[tuple[Runtime, int]]:
    """A migrated runtime on SQLite in a folder of its own, with its owner and its encoder loaded."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data",
            faiss_index_dir=folder / "faiss_indexes",
            database_url=None,
            db_host=None,
            redis_url=None,
        )
    )
    runtime.migrate()
    runtime.space()
    try:
        with runtime.transaction() as session:
            owner_id = users.local_user(session).id
        yield runtime, owner_id
    finally:
        runtime.close()


def timed(count: int, work: Callable[[], None], finish: Callable[[], None]) -> tuple[float, float]:
    """Return pictures/s until the work has returned, and until it is finished altogether."""
    began = time.perf_counter()
    work()
    returned = time.perf_counter() - began
    finish()
    return count / returned, count / (time.perf_counter() - began)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    count = arguments.pictures
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "stickers").mkdir()
        paths = stickers(folder / "stickers", count)
        report = {}
        with site(folder / "uploads") as (runtime, owner_id):
            side_px = 2 * runtime.encoder.input_side_px
            report_decoding(runtime, paths[0], photograph(folder), side_px)
            one_by_one = bare_loop(runtime, paths, 1)
            bare = bare_loop(runtime, paths, arguments.batch)
            report |= {"bare loop, one by one": one_by_one, "bare loop, batches": bare}
            stop = in_process.start(runtime)

            def all_uploads() -> None:
                with ThreadPoolExecutor(UPLOADERS) as pool:
                    list(pool.map(lambda path: upload(runtime, owner_id, path), paths))

            answered, ready = timed(count, all_uploads, lambda: wait_until_ready(runtime, count))
            stop()
            report |= {"uploads answered": answered, "uploads READY": ready}
        with site(folder / "import") as (runtime, owner_id):
            stop = in_process.start(runtime)

            def whole_folder() -> None:
                import_folder(runtime, folder / "stickers", owner_id=owner_id, is_public=False)

            taken, ready = timed(count, whole_folder, lambda: wait_until_ready(runtime, count))
            stop()
            report |= {"folder taken in": taken, "folder READY": ready}
        figures = {
            name: {
                "pictures/s": round(rate, 1),
                "of the bare loop in batches": round(rate / bare, 2),
            }
            for name, rate in report.items()
        }
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
