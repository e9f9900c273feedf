"""Folders of clip-retrieval: img_emb/*.npy with vectors beside metadata/*.parquet, part by part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mirada.kernel.errors import InvalidInput
from mirada.transfer.records import Record, Refused, record_of
from mirada.transfer.sources.lines import with_id

ROWS = 256
"""Rows of metadata that are held at once."""
_NUMBERED = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, slots=True)
class ClipRetrievalSource:
    """A folder that `clip-retrieval inference` has written.

    Attributes:
        folder: with img_emb and metadata.
        name: of the source.
        columns: our name of a field -> the metadata's.
    """

    folder: Path
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    keeps_names: bool = True

    def count(self) -> int | None:
        """Return how many vectors there are."""
        return sum(len(_vectors_in(vectors)) for vectors, _ in self._parts())

    def records(self) -> Iterator[Record | Refused]:
        """Yield a record for each row; rows are numbered from 1 over all parts."""
        number = 0
        for vectors_file, metadata_file in self._parts():
            vectors = _vectors_in(vectors_file)
            rows = rows_of_parquet(metadata_file)
            for position, fields in enumerate(rows):
                number += 1
                if position >= len(vectors):
                    raise InvalidInput(
                        f"{metadata_file} has more rows than {vectors_file} has vectors."
                    )
                fields = {**fields, "vector": np.asarray(vectors[position])}
                yield record_of(number, with_id(fields, self.columns), self.columns)

    def _parts(self) -> list[tuple[Path, Path]]:
        vectors = _numbered(self.folder / "img_emb", ".npy")
        metadata = _numbered(self.folder / "metadata", ".parquet")
        if not vectors or vectors.keys() != metadata.keys():
            raise InvalidInput(
                f"{self.folder} is no whole folder of clip-retrieval: img_emb has {len(vectors)} files, "
                f"and metadata {len(metadata)} of the same numbers are needed."
            )
        return [(vectors[number], metadata[number]) for number in sorted(vectors)]


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    named = ((_NUMBERED.search(path.stem), path) for path in folder.glob(f"*{suffix}"))
    return {int(found[1]): path for found, path in named if found is not None}


def _vectors_in(path: Path) -> Any:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} is no array of NumPy: {error}.") from error
    if found.ndim != 2:
        raise InvalidInput(f"{path} holds {found.ndim} dimensions; vectors in rows have 2.")
    return found


def rows_of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a few at a time. Raises InvalidInput where it cannot be read."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InvalidInput(
            "Reading Parquet needs pyarrow, which is an extra: pip install -r requirements-parquet.txt"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS):
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is no Parquet that can be read: {error}.") from error
