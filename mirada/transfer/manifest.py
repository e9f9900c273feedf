"""The files of an export: their names, the manifest with checksums, and where an interrupted one stands."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirada.kernel.embeddings import BLOB_DTYPE, EmbeddingSpace, SpaceKind
from mirada.kernel.errors import InvalidInput

NAME = "manifest.json"
FORMAT, VERSION = "mirada-export", 1
IMAGES, PACKS, SUMS = "images.jsonl", "packs.jsonl", "checksums.sha256"
ORIGINALS = "originals"
STATE = "export.state.json"
"""Where an export stands that is not done; it is gone with the last step."""
HEADER_BYTES = 128
"""Of an .npy file, whatever its number of rows: it is written again when the number is known."""
VECTORS = {kind: f"vectors/{kind}.npy" for kind in SpaceKind}


def npy_header(rows: int, dimension: int) -> bytes:
    """Return the 128 bytes with which an .npy file of (rows, dimension) float32 begins."""
    described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}"
    head = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return head + described.ljust(HEADER_BYTES - 11).encode("ascii") + b"\n"


def row_bytes(dimension: int) -> int:
    """Return how many bytes one vector takes in such a file."""
    return BLOB_DTYPE.itemsize * dimension


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that the file is there completely, on the disk, or as it was before."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of an export that is complete.

    Attributes:
        installation: identity of the database that it came from.
        spaces: kind -> the space of its vectors.
        files: path below the folder -> SHA-256.
        images: how many there are.
    """

    installation: str
    spaces: dict[SpaceKind, EmbeddingSpace]
    files: dict[str, str]
    images: int


def read(folder: Path) -> Manifest:
    """Return the manifest of an export, whose files are checked against it.

    Raises:
        InvalidInput: it is no export, of a later version, not complete, or changed since.
    """
    try:
        found = json.loads((folder / NAME).read_bytes())
        if found["format"] != FORMAT or not isinstance(found["version"], int):
            raise InvalidInput(f"{folder / NAME} is of another program.")
        if found["version"] > VERSION:
            raise InvalidInput(
                f"The export has version {found['version']}; this Mirada reads up to {VERSION}. Import it "
                "with a newer one."
            )
        spaces = {SpaceKind(kind): EmbeddingSpace(**one) for kind, one in found["spaces"].items()}
        files = dict(found["files"])
        if IMAGES not in files:
            raise InvalidInput(f"{folder / NAME} names no {IMAGES}. Copy the export once more.")
        manifest = Manifest(str(found["installation"]), spaces, files, int(found["images"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{folder / NAME} is no manifest of an export: {error}.") from error
    for name, sha256 in manifest.files.items():
        _check(folder, name, sha256)
    return manifest


def _check(folder: Path, name: str, sha256: str) -> None:
    try:
        path = (folder / name).resolve(strict=True)
        is_whole = path.is_relative_to(folder.resolve()) and sha256_of(path) == sha256
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        raise InvalidInput(f"The export lacks {name!r}.") from error
    if not is_whole:
        raise InvalidInput(f"{name} is not as the export wrote it. Copy the export once more.")


def vectors_in(folder: Path, kind: SpaceKind, space: EmbeddingSpace) -> Any:
    """Return the (n, d) float32 vectors of a kind, read as they are asked for. Raises InvalidInput."""
    found = np.load(folder / VECTORS[kind], mmap_mode="r", allow_pickle=False)
    if found.ndim != 2 or found.shape[1] != space.dimension or found.dtype != BLOB_DTYPE:
        raise InvalidInput(f"{VECTORS[kind]} does not hold the vectors that the manifest says.")
    return found
