"""The place of a model's export, how it gets there, and which weights it belongs to."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirada.adapters.encoders.exports import MANIFEST_NAME, Export
from mirada.adapters.encoders.hub import HubFile
from mirada.adapters.encoders.weights import (
    CONFIG_NAME,
    digest_of,
    folder_name,
    model_folder,
    weights_in,
)

logger = logging.getLogger(__name__)

FOLDER = "onnx"
"""Folder of exports in the folder of downloads."""
INT8 = "+int8"
"""End of a weights tag where 8-bit weights give the vectors, which so have a space of their own."""
WORK_PREFIX = ".export-"
IS_SHA256 = re.compile(r"[0-9a-f]{64}")


def export_folder(model: str, pretrained: str | None, cache_dir: Path | None) -> Path:
    """Return the folder that holds a model's export or would: the model's own, else one in the cache.

    Raises:
        EncoderUnavailable: it has the form of a path, and there is no such folder.
    """
    folder = model_folder(model)
    if folder is not None:
        return folder
    return cache_of(cache_dir) / FOLDER / "--".join(space_names(model, pretrained))


def has_graphs_alone(model: str, pretrained: str | None) -> bool:
    """Return whether PyTorch cannot compute a model: it has 8 bits, or is a folder of graphs alone.

    Raises:
        EncoderUnavailable: it has the form of a path, and there is no such folder.
    """
    folder = model_folder(model)
    if folder is None:
        return (pretrained or "").endswith(INT8)
    return (folder / MANIFEST_NAME).exists() and not (folder / CONFIG_NAME).exists()


def space_names(model: str, pretrained: str | None) -> tuple[str, str]:
    """Return the names that a model and its weights have in a space; reads no weights of the hub.

    Raises:
        EncoderUnavailable: a model folder is missing, or holds no configuration, weights or graphs.
    """
    folder = model_folder(model)
    if folder is not None:
        if has_graphs_alone(model, pretrained):
            export = Export.read(folder)
            assert export is not None
            return export.encoder, export.pretrained
        return folder_name(folder), digest_of(weights_in(folder))
    is_file = bool(pretrained) and Path(pretrained or "").is_file()
    tag = digest_of(Path(pretrained or "")) if is_file else pretrained or ""
    return model.replace("/", "-"), tag


def cached_digest(export: Export, cache_dir: Path | None) -> str:
    """Return the SHA-256 of the hub's weights that are in the cache now; "" where that is unknown.

    The hub's client names large files by it, so nothing is read.
    """
    repository, name = export.origin.get("repository"), export.origin.get("file")
    if not export.weights or not repository or not name:
        return ""
    cached = HubFile(repository, (name,)).cached(cache_dir)
    return sha256_in_cache(cached) if cached else ""


def sha256_in_cache(path: Path) -> str:
    """Return the SHA-256 by which the hub's client names a large file; "" for another file."""
    name = path.resolve().name
    return name if IS_SHA256.fullmatch(name) else ""


def link_or_copy(file: Path, link: Path) -> None:
    """Put a file into another folder too, without a second place on the disk where that is possible."""
    try:
        # The hub's cache has links to its files.
        link.hardlink_to(file.resolve())
    except OSError:
        shutil.copyfile(file, link)


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder within the folder of an export, to make the export in; it is deleted after.

    Another process that makes an export for the same folder waits for its turn. What a killed one left
    behind is deleted: that may be gigabytes.

    Raises:
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turn = os.open(folder, os.O_RDONLY)
    try:
        if _is_turn(turn, folder):
            for left in folder.glob(f"{WORK_PREFIX}*"):
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as name:
            yield Path(name)
    finally:
        os.close(turn)


def _is_turn(descriptor: int, folder: Path) -> bool:
    """Wait until no other process makes an export for a folder; False where that cannot be known."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning("Another process makes graphs in %s; waiting for it.", folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        # Some network file systems lock no folders.
        return False
    return True


def move_export(work: Path, folder: Path) -> None:
    """Move an export's files to their place, the manifest last: without it there is no export."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    manifest = work / MANIFEST_NAME
    for path in (*(path for path in work.iterdir() if path != manifest), manifest):
        place = folder / path.name
        if not (place.exists() and place.samefile(path)):
            path.replace(place)


def cache_of(cache_dir: Path | None) -> Path:
    """Return the folder of downloads: the one that is set, else the hub client's own."""
    from huggingface_hub import constants

    return cache_dir or Path(constants.HF_HUB_CACHE)
