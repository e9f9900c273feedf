"""The pictures below a folder: found, compared with what their owner has, and registered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image
from mirada.db.texts import lock_texts_of
from mirada.kernel.prompts import normalised_prompt
from mirada.pictures.new_image import NewImage, Processing, Texts
from mirada.pictures.register import NewPicture, Registered, locked_content, register_image

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"})
"""Files that claim to be pictures we accept; whether they are is for the decoder to say."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A picture, or a folder, that was not taken, by its path below the folder, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class FolderScan:
    """The files below a folder.

    Attributes:
        pictures: files to take, sorted by path.
        hidden_count: files and folders whose name begins with a dot.
        other_count: files that are no pictures by their suffix, and what is no regular file.
        link_count: links that lead out of the folder, and links to folders: never followed.
        refused: folders that cannot be read.
    """

    pictures: list[Path] = field(default_factory=list)
    hidden_count: int = 0
    other_count: int = 0
    link_count: int = 0
    refused: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class ImportReport:
    """Progress and outcome of an import; `taken + already_there + refused` ends at `total`.

    Attributes:
        scan: what was found.
        taken: images that were made.
        already_there: pictures whose bytes the owner had, from earlier or twice in the folder.
        refused: what was not taken and why.
        is_complete: every picture was looked at.
    """

    scan: FolderScan
    taken: int = 0
    already_there: int = 0
    refused: list[Refusal] = field(default_factory=list)
    is_complete: bool = False

    @property
    def total(self) -> int:
        """The number of pictures."""
        return len(self.scan.pictures)

    @property
    def done(self) -> int:
        """The number of them that were looked at."""
        return self.taken + self.already_there + len(self.refused)

    @property
    def all_refused(self) -> list[Refusal]:
        """Return what was not taken, unreadable folders included."""
        return [*self.scan.refused, *self.refused]

    def summary(self) -> str:
        """Return the counts as a sentence or two for people."""
        skipped = {
            "hidden": self.scan.hidden_count,
            "not pictures": self.scan.other_count,
            "links": self.scan.link_count,
        }
        named = ", ".join(f"{count:,} {name}" for name, count in skipped.items() if count)
        return (
            f"{self.taken:,} imported, {self.already_there:,} already there, "
            f"{len(self.all_refused):,} refused." + (f" Skipped: {named}." if named else "")
        )


def scan_folder(folder: Path) -> FolderScan:
    """Return what lies below a folder, however deep, in one order every time.

    Raises:
        OSError: the folder itself cannot be read.
    """
    root = folder.resolve(strict=True)
    os.scandir(root).close()
    scan = FolderScan()

    def unreadable(error: OSError) -> None:
        path = os.path.relpath(error.filename, root)
        scan.refused.append(Refusal(path, f"The folder cannot be read: {error.strerror}."))

    for parent, folders, files in os.walk(root, onerror=unreadable):
        visible = sorted(name for name in folders if not name.startswith("."))
        scan.hidden_count += len(folders) - len(visible)
        folders[:] = [name for name in visible if not (Path(parent) / name).is_symlink()]
        scan.link_count += len(visible) - len(folders)
        for name in sorted(files):
            _sort_file(scan, root, Path(parent) / name)
    scan.pictures.sort()
    return scan


def owned_hashes(session: Session, owner_id: int, hashes: Sequence[str]) -> set[str]:
    """Return which of these SHA-256 sums are of pictures the owner has."""
    query = select(Content.sha256).join(Image, Image.content_id == Content.id)
    rows = rows_in(session, query.where(Image.owner_id == owner_id), Content.sha256, hashes)
    return {row.sha256 for row in rows}


def register_batch(
    session: Session,
    pictures: Iterable[tuple[NewPicture, str]],
    image: NewImage,
    processing: Processing,
) -> list[tuple[NewPicture, Registered]]:
    """Register pictures as such images, each under its file name and at most once per owner.

    Running it again is safe.

    Contents are locked in the order of their hashes, and then all prompts that the files tell: two
    imports never wait for each other in a circle.
    """
    ordered = sorted(pictures, key=lambda entry: entry[0].sha256)
    for picture, _ in ordered:
        locked_content(session, picture)
    owned = owned_hashes(session, image.owner_id, [picture.sha256 for picture, _ in ordered])
    told = [p.facts.file_metadata for p, _ in ordered if p.sha256 not in owned]
    lock_texts_of(session, {normalised_prompt(one.prompt) for one in told if one and one.prompt})
    return [
        (
            picture,
            register_image(
                session,
                picture,
                replace(image, texts=Texts(filename)),
                processing,
                is_once_per_owner=True,
            ),
        )
        for picture, filename in ordered
    ]


def _sort_file(scan: FolderScan, root: Path, path: Path) -> None:
    if path.name.startswith("."):
        scan.hidden_count += 1
    elif path.suffix.lower() not in SUFFIXES:
        scan.other_count += 1
    elif path.is_symlink() and not _leads_inside(root, path):
        scan.link_count += 1
    elif _is_special(path):
        scan.other_count += 1
    else:
        scan.pictures.append(path)


def _leads_inside(root: Path, link: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        # Broken, or a circle of links: there is nothing to take.
        return False


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        # It vanished or may not be read; taking it will say so.
        return False
