"""Files and folders that only their owner may read, whatever the umask; and a secret kept in one."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Any

from mirada.config import LEAST_SECRET_CHARS
from mirada.kernel.errors import Unavailable

FILE_MODE = 0o600
FOLDER_MODE = 0o700
SECRET_BYTES = 32
LONGEST_SECRET_BYTES = 4096


def open_file(path: Path, mode: str, buffering: int = -1) -> Any:
    """Open a file as `open` does, in a binary mode; it is private if this call makes it. Raises OSError."""
    return open(path, mode, buffering, opener=lambda name, flags: os.open(name, flags, FILE_MODE))


def make_file(path: Path) -> None:
    """Make an empty file unless it exists. Raises OSError."""
    open_file(path, "ab").close()


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and what it lies in, where they are missing.

    Folders that exist stay as they are: an operator may share them with a group.

    Returns:
        The folders that got a new entry, nearest first: what has to be synced to keep it.

    Raises:
        OSError: a folder cannot be made.
    """
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        # Another process may make it meanwhile.
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return [each.parent for each in missing]


def kept_secret(path: Path) -> str:
    """Return the secret in a file; the first call makes it, also when several processes start at once.

    Raises:
        Unavailable: the file cannot be read or made, or what is in it is no secret.
    """
    try:
        # A file that is there may be one that we must not write.
        secret = _secret_in(path) if path.exists() else ""
        secret = secret or _made_secret(path)
    except OSError as error:
        raise Unavailable(
            f"Sessions cannot be signed: the file {path} reports '{error.strerror}'. Let the user who "
            "runs this read and write it, or set SECRET_KEY."
        ) from error
    if len(secret) < LEAST_SECRET_CHARS:
        raise Unavailable(
            f"Sessions cannot be signed: {path} holds fewer than {LEAST_SECRET_CHARS} characters. "
            "Remove it, and a new one is made; every session ends then."
        )
    return secret


def _secret_in(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LONGEST_SECRET_BYTES).decode("ascii", "replace").strip()


def _made_secret(path: Path) -> str:
    make_folder(path.parent)
    with open_file(path, "ab") as file:
        # Whoever comes second waits, and reads what the first has written.
        fcntl.flock(file, fcntl.LOCK_EX)
        secret = _secret_in(path)
        if not secret:
            secret = secrets.token_hex(SECRET_BYTES)
            file.write(f"{secret}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        return secret
