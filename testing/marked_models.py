"""Models whose vectors say which model they are of, and indexes that look, for drills of a change.

Both models have as many numbers, so a mixture would go unseen: a vector of the wrong model is nearly as
good as any other. So the first number of every vector is made positive by the one model and negative by
the other.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mirada.runtime
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.runtime import Runtime

OTHER = "other-stickers"
"""The name of the other model; the bundled one has one of its own."""
SHARE = 0.5
"""Of the length of a vector that its mark has: the order of results stays much as it was."""
CHECKED_TO = "MARKED_VECTORS_TO"
"""Names the folder for what processes saw, in the environment."""


class Marked:
    """An encoder whose vectors bear a mark: +1 or -1."""

    def __init__(self, encoder: Any, mark: int) -> None:
        self._encoder = encoder
        self._mark = mark

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_images(self, images: Sequence[Any]) -> Matrix:
        return marked(self._encoder.encode_images(images), self._mark)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        return marked(self._encoder.encode_texts(texts), self._mark)


def marked(vectors: Matrix, mark: int) -> Matrix:
    """Return vectors that bear a mark, +1 or -1: (n, d) float32 unit rows."""
    if not len(vectors):
        return vectors
    rest = vectors.copy()
    rest[:, 0] = 0.0
    rest = l2_normalise(rest) * np.sqrt(1 - SHARE**2).astype(np.float32)
    rest[:, 0] = mark * SHARE
    return l2_normalise(rest)


def mark_of(encoder: str) -> int:
    """Return the mark of a model by the name that its space has."""
    return -1 if encoder == OTHER else 1


class Checked:
    """An index that compares the mark of every query with that of its space, and counts."""

    def __init__(self, index: Any, encoder: str, seen: Seen) -> None:
        self._index = index
        self._encoder = encoder
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, queries: Matrix, *more: Any, **options: Any) -> Any:
        marks = np.sign(queries[:, 0])
        right = int((marks == mark_of(self._encoder)).sum())
        self._seen.count(self._encoder, right, len(queries) - right)
        return self._index.search(queries, *more, **options)


class Seen:
    """What one process saw; it is in a file of its own at every moment."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"seen-{os.getpid()}.json"
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, encoder: str, right: int, wrong: int) -> None:
        """Count vectors that were compared with those of a model's space."""
        with self._lock:
            self._counts[f"{encoder} right"] += right
            self._counts["wrong"] += wrong
            self._path.write_text(json.dumps(self._counts))


def install() -> None:
    """Mark the vectors of every model that this process loads, and check those that it searches with."""
    folder = Path(os.environ[CHECKED_TO])
    seen = Seen(folder)
    load: Callable[..., Any] = mirada.runtime.load_chosen
    new_index = Runtime._new_index

    def load_marked(*arguments: Any, **options: Any) -> Any:
        encoder = load(*arguments, **options)
        return Marked(encoder, mark_of(encoder.space.encoder))

    def new_checked(runtime: Runtime, space_id: int) -> Any:
        space = runtime.vector_source(space_id).space
        return Checked(new_index(runtime, space_id), space.encoder, seen)

    mirada.runtime.load_chosen = load_marked
    Runtime._new_index = new_checked  # type: ignore[method-assign]


def seen_in(folder: Path) -> Counter[str]:
    """Return what all processes saw together."""
    found: Counter[str] = Counter()
    for path in folder.glob("seen-*.json"):
        found.update(json.loads(path.read_text()))
    return found


def other_model(bundled: Path, folder: Path) -> Path:
    """Make a folder with the bundled model of stickers under another name; return it.

    Its space is another one, and its marks tell its vectors from those of the bundled model. ONNX Runtime
    loads it, so a process that needs both has them in a moment.
    """
    folder.mkdir(parents=True)
    for path in bundled.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    for file, name in (("open_clip_config.json", "name"), ("onnx.json", "encoder")):
        described = json.loads((folder / file).read_text())
        described[name] = OTHER
        (folder / file).write_text(json.dumps(described))
    return folder
