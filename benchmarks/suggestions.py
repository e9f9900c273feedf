"""Measures style suggestions over HTTP for one person with 1,000 images, and that they are current.

    python -m benchmarks.suggestions [--images 1000]

The first call encodes the list of styles and computes the answer. The second reads the cached answer,
after it asked the database for changes.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from werkzeug.serving import make_server

from benchmarks.styles_set import made_people
from mirada.config import Settings
from mirada.db.models import Image
from mirada.db.texts import locked_text_id
from mirada.embedding import texts as prompts
from mirada.kernel.embeddings import SpaceKind
from mirada.people import users
from mirada.runtime import Runtime
from testing.vector_library import Library
from webapp import create_app

ADDRESS = "/api/users/me/style-suggestions/"
AGAIN = 20


def filled(folder: Path, images: int) -> Runtime:
    """Return a runtime whose local user has made images with different made-up prompts."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data",
            faiss_index_dir=folder / "faiss_indexes",
            database_url=f"sqlite:///{folder / 'data' / 'mirada.db'}",
            clip_model="bundled",
            log_level="ERROR",
        )
    )
    runtime.migrate()
    space_id, space = runtime.space()
    prompt_space_id, prompt_space = runtime.space(SpaceKind.PROMPT)
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
    rng = np.random.default_rng(1)

    def vectors(count: int, dimension: int) -> Any:
        rows = rng.normal(size=(count, dimension)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    Library(runtime.database, space_id, space.dimension, [owner_id]).add(
        vectors(images, space.dimension)
    )
    texts = [text for person in made_people("a", 1) for text in person.prompts]
    with runtime.transaction() as session:
        for number, image in enumerate(session.query(Image).order_by(Image.id)):
            image.prompt = f"{texts[number % len(texts)]}, number {number}"
            image.prompt_text_id = locked_text_id(session, image.prompt)
            row = vectors(1, prompt_space.dimension)[0]
            prompts.store_prompt_vectors(
                session, prompt_space_id, prompt_space, {image.prompt_text_id: row}
            )
    return runtime


def main() -> None:
    """Print what a first call and the following ones take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000)
    asked = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        runtime = filled(Path(folder), asked.images)
        server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.port}{ADDRESS}"
        seconds = []
        for _ in range(2 + AGAIN):
            began = time.perf_counter()
            with urllib.request.urlopen(address) as reply:
                reply.read()
            seconds.append(time.perf_counter() - began)
        server.shutdown()
        runtime.close()
    first, second, *more = (1_000 * one for one in seconds)
    print(
        f"{asked.images} images: first call {first:.0f} ms, second {second:.0f} ms, "
        f"then median {statistics.median(more):.0f} ms, slowest {max(more):.0f} ms"
    )


if __name__ == "__main__":
    main()
