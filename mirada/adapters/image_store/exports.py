"""Exports that wait to be fetched: a folder each below DATA_DIR/exports, for a day.

The database is not asked what may go: a folder is removed by its age, and a lost one is made again. It is no
part of the store of originals. Several processes share the folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from mirada import private_files
from mirada.adapters.image_store.local import storage_errors
from mirada.kernel.exports import KEPT_FOR_S, MOST_KEPT

logger = logging.getLogger(__name__)

FILE, FACTS = "export.zip", "export.json"
KEY = re.compile(r"\d+-\d+-[0-9a-f]{16}")
"""Owner, job, and a random part."""
PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


class LocalExports:
    """Exports in a folder. Thread-safe."""

    def __init__(self, root: Path) -> None:
        """Keep the folder, which the first export makes."""
        self._root = root

    def part(self, key: str, name: str) -> Path | None:
        """Return a part that an earlier attempt has made; None where it has not."""
        path = self._folder(key) / _checked(name, PART)
        return path if path.is_file() else None

    def keep_part(self, key: str, name: str, content: bytes) -> Path:
        """Keep a part, so that another attempt need not make it. Raises StorageFull or Unavailable."""
        path = self._folder(key) / _checked(name, PART)
        with storage_errors("kept"):
            private_files.make_folder(path.parent)
            self._write(path, lambda file: file.write(content))
        return path

    def finish(self, key: str, facts: dict[str, Any], write: Callable[[IO[bytes]], object]) -> None:
        """Write an export and what is to be known of it, then remove its parts.

        Raises:
            StorageFull, Unavailable: it is not there then; its parts are.
        """
        folder = self._folder(key)
        with storage_errors("kept"):
            private_files.make_folder(folder)
            content = json.dumps(facts).encode()
            self._write(folder / FACTS, lambda file: file.write(content))
            self._write(folder / FILE, write)
            for path in folder.iterdir():
                if path.name not in (FILE, FACTS):
                    path.unlink(missing_ok=True)

    def finished(self, key: str) -> tuple[Path, dict[str, Any]] | None:
        """Return an export's file and what is known of it; None where it is not there, or too old."""
        folder = self._folder(key)
        with suppress(OSError, ValueError):
            if (folder / FILE).stat().st_mtime > time.time() - KEPT_FOR_S:
                return folder / FILE, json.loads((folder / FACTS).read_bytes())
        return None

    def remove_others(self, key: str) -> None:
        """Remove what earlier runs of the same job have left, and of their owner's all but the newest."""
        owner, job, _ = key.split("-")
        with suppress(OSError):
            theirs = [each for each in self._folders() if each.name.split("-")[0] == owner]
            earlier = [each for each in theirs if each.name.split("-")[1] == job]
            kept = [each for each in theirs if each not in earlier and (each / FILE).exists()]
            kept.sort(key=_written_at, reverse=True)
            for each in [*earlier, *kept[MOST_KEPT - 1 :]]:
                if each.name != key:
                    shutil.rmtree(each, ignore_errors=True)

    def remove_all_of(self, owner_id: int) -> None:
        """Remove every export of one person."""
        with suppress(OSError):
            for each in self._folders():
                if each.name.split("-")[0] == str(owner_id):
                    shutil.rmtree(each, ignore_errors=True)

    def forget_old(self) -> int:
        """Remove what is older than KEPT_FOR_S, and return how many exports that were."""
        removed = 0
        with suppress(OSError):
            for folder in self._folders():
                if _written_at(folder) < time.time() - KEPT_FOR_S:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        return removed

    def _folders(self) -> list[Path]:
        return [each for each in self._root.iterdir() if KEY.fullmatch(each.name)]

    def _folder(self, key: str) -> Path:
        return self._root / _checked(key, KEY)

    def _write(self, path: Path, write: Callable[[IO[bytes]], object]) -> None:
        # Renamed into place and synced, so that what has its name is whole.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _written_at(folder: Path) -> float:
    """Return when an export was finished, or last worked at; 0 for one that is gone."""
    for path in (folder / FILE, folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _checked(name: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is no name of an export")
    return name
