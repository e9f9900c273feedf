"""The files of a source's pictures, below one folder, found by the paths and addresses that it names."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import MAX_EXTERNAL_ID_CHARACTERS

_NUMBERED = re.compile(r"(\d{1,15})\.[A-Za-z0-9]{3,4}", re.ASCII)


class PictureFolder:
    """A folder with the pictures of a source."""

    def __init__(self, root: Path) -> None:
        """Keep the folder. Raises InvalidInput where there is none."""
        if not root.is_dir():
            raise InvalidInput(f"There is no folder {root} with the pictures of the import.")
        self._root = root.resolve()

    def find(self, named: str) -> Path:
        """Return the file of a picture that a source names by a path or an address.

        The whole path is tried below the folder, and then each of its ends: "/static/a/1.png" is
        found as a/1.png and as 1.png.

        Raises:
            InvalidInput: there is no such file below the folder.
        """
        for candidate in self._candidates(named):
            try:
                path = (self._root / candidate).resolve(strict=True)
            except (OSError, ValueError, RuntimeError):
                continue
            if path.is_relative_to(self._root) and path.is_file():
                return path
        raise InvalidInput(f"Its picture '{named[:200]}' is not below {self._root}.")

    def of_hash(self, sha256: str) -> Path | None:
        """Return the file that is called by this hash, with any ending; None for none."""
        return next(
            (path for path in sorted(self._root.glob(f"{sha256}*")) if path.is_file()), None
        )

    def _candidates(self, named: str) -> list[PurePosixPath]:
        if "\x00" in named or len(named) > os.pathconf("/", "PC_PATH_MAX"):
            return []
        plain = PurePosixPath(named)
        paths = [plain.relative_to(self._root)] if plain.is_relative_to(self._root) else []
        try:
            in_address = PurePosixPath(unquote(urlsplit(named).path))
        except ValueError:
            in_address = plain
        for path in (plain, in_address):
            parts = [part for part in path.parts if part != "/"]
            paths += [PurePosixPath(*parts[start:]) for start in range(len(parts))]
        return paths


def name_of(named: str) -> str | None:
    """Return the last part of a path or an address, by which old clients ask for the file; None for none."""
    try:
        name = PurePosixPath(unquote(urlsplit(named).path)).name
    except ValueError:
        return None
    return name if 0 < len(name) <= MAX_EXTERNAL_ID_CHARACTERS and name == name.strip() else None


def number_in(name: str | None) -> int:
    """Return the number that a file is called by, as our own addresses call files; 0 for none."""
    found = _NUMBERED.fullmatch(name or "")
    return 0 if found is None else int(found[1])
