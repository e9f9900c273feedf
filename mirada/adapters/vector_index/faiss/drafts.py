"""A snapshot while it is being written: a folder of its own, which becomes the snapshot by a rename."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mirada import private_files
from mirada.adapters.vector_index.faiss.files import (
    Sums,
    fsync_directory,
    link_or_copy,
    write_array,
    write_file,
    write_index,
)
from mirada.adapters.vector_index.faiss.snapshot import MANIFEST
from mirada.kernel.errors import StorageFull, Unavailable
from mirada.ports import SnapshotRecord

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Say what an OSError means to a builder. Raises StorageFull or Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                "The disk is full, so no index snapshot was published; search goes on without."
            ) from error
        raise Unavailable(f"The index folder cannot be written: {error.strerror}.") from error


class Draft:
    """The files of one snapshot, and what its manifest will say of them.

    Attributes:
        name: the snapshot's.
        folder: where they lie until `finish`.
        files: sums by name.
    """

    def __init__(self, parent: Path) -> None:
        """Make the folder. Raises OSError."""
        self.name = f"snap-{uuid.uuid4()}"
        self.folder = parent / f"{self.name}.tmp"
        self.files: dict[str, Sums] = {}
        self._final = parent / self.name
        private_files.make_folder(parent)
        self.folder.mkdir(mode=private_files.FOLDER_MODE)

    def add_index(self, name: str, index: Any, flags: int = 0) -> None:
        """Write a FAISS index. Raises OSError."""
        self.files[name] = write_index(self.folder / name, index, flags)

    def add_array(self, name: str, array: Any) -> None:
        """Write a numpy array. Raises OSError."""
        self.files[f"{name}.npy"] = write_array(self.folder / f"{name}.npy", array)

    def share(self, directory: Path, files: Mapping[str, Sums]) -> None:
        """Take files of another snapshot, which never change either. Raises OSError."""
        for name, sums in files.items():
            link_or_copy(directory / name, self.folder / name)
            self.files[name] = sums

    def finish(self, manifest: dict[str, Any]) -> tuple[Path, SnapshotRecord]:
        """Write the manifest, give the folder its name, and return what the database is to record.

        Raises:
            OSError: nothing has that name.
        """
        manifest = manifest | {"files": self.files}
        text = json.dumps(manifest, indent=1).encode()
        write_file(self.folder / MANIFEST, lambda sink: sink.write(text))
        fsync_directory(self.folder)
        self.folder.rename(self._final)
        fsync_directory(self._final.parent)
        return self._final, SnapshotRecord(
            name=self.name,
            change_seq=manifest["change_seq"],
            db_epoch=manifest["db_epoch"],
            sha256=hashlib.sha256(text).hexdigest(),
            row_count=manifest["row_count"],
            manifest=manifest,
        )

    def discard(self) -> None:
        """Remove what was not published; harmless to repeat."""
        for folder in (self.folder, self._final):
            shutil.rmtree(folder, ignore_errors=True)
