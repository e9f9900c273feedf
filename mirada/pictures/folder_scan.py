"""The pictures below a folder: found, compared with what their owner has, and registered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.orm import Session

from mirada.db.texts import lock_texts_of
from mirada.kernel.picture_formats import SUFFIXES
from mirada.kernel.prompts import normalised_prompt
from mirada.pictures import left_out
from mirada.pictures.known_images import known_images
from mirada.pictures.left_out import Refusal, Why, counted
from mirada.pictures.new_image import NewImage, Processing, Texts
from mirada.pictures.register import (
    NewPicture,
    Registered,
    begin_image,
    end_image,
    locked_contents,
)


@dataclass(slots=True)
class FolderScan:
    """The files below a folder.

    Attributes:
        pictures: files to take, sorted by path.
        skipped: what is left out without a look into it; of a folder that is left out one entry.
        refused: folders that cannot be read.
    """

    pictures: list[Path] = field(default_factory=list)
    skipped: list[Refusal] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def count(self, kind: Why) -> int:
        """Return how many files and folders were skipped for this reason."""
        return sum(entry.kind is kind for entry in self.skipped)


@dataclass(slots=True)
class ImportReport:
    """Progress and outcome of an import; `taken + already_there + refused` ends at `total`.

    Attributes:
        scan: what was found.
        taken: images that were made.
        known: pictures whose bytes the owner had, from earlier or twice in the folder.
        refused: what was not taken and why.
        is_complete: every picture was looked at.
    """

    scan: FolderScan
    taken: int = 0
    known: list[Refusal] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    is_complete: bool = False

    @property
    def total(self) -> int:
        """The number of pictures."""
        return len(self.scan.pictures)

    @property
    def already_there(self) -> int:
        """The number of pictures that the owner had."""
        return len(self.known)

    @property
    def done(self) -> int:
        """The number of them that were looked at."""
        return self.taken + self.already_there + len(self.refused)

    @property
    def all_refused(self) -> list[Refusal]:
        """Return what was looked at and not taken, unreadable folders included."""
        return [*self.scan.refused, *self.refused]

    @property
    def not_taken(self) -> list[Refusal]:
        """Return every file that was not taken, by path; of folders that were left out one entry."""
        entries = [*self.scan.skipped, *self.known, *self.all_refused]
        return sorted(entries, key=lambda entry: entry.path)

    def summary(self) -> str:
        """Return the counts as a sentence or two for people."""
        refused, skipped = counted(self.all_refused), counted(self.scan.skipped)
        return (
            f"{self.taken:,} imported, {self.already_there:,} already there, "
            f"{len(self.all_refused):,} refused"
            + (f" ({refused})." if refused else ".")
            + (f" Skipped: {skipped}." if skipped else "")
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
        scan.refused.append(Refusal(f"{path}/", f"The folder cannot be read: {error.strerror}."))

    for parent, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [
            name for name in sorted(folders) if _is_entered(scan, root, Path(parent) / name)
        ]
        for name in sorted(files):
            _sort_file(scan, root, Path(parent) / name)
    scan.pictures.sort()
    return scan


def owned_hashes(session: Session, owner_id: int, hashes: Sequence[str]) -> set[str]:
    """Return which of these SHA-256 sums are of pictures the owner has."""
    return set(known_images(session, owner_id, hashes))


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
    # Of bytes that are twice in the batch the first is the one whose file is kept.
    contents = locked_contents(session, (picture for picture, _ in reversed(ordered)))
    owned = owned_hashes(session, image.owner_id, [picture.sha256 for picture, _ in ordered])
    told = [p.facts.file_metadata for p, _ in ordered if p.sha256 not in owned]
    lock_texts_of(session, {normalised_prompt(one.prompt) for one in told if one and one.prompt})
    begun = []
    for picture, filename in ordered:
        named = replace(image, texts=Texts(filename), is_once_per_owner=picture.sha256 in owned)
        content = contents[picture.sha256]
        begun.append(begin_image(session, picture, named, processing, content=content))
        owned.add(picture.sha256)
    session.flush()
    ended = [end_image(session, each, processing) for each in begun]
    return [(picture, end) for (picture, _), end in zip(ordered, ended, strict=True)]


def _is_entered(scan: FolderScan, root: Path, path: Path) -> bool:
    if left_out.leftover_folder(path.name):
        reason, kind = "Other programs keep thumbnails or deleted files there.", Why.LEFTOVER
    elif path.name.startswith("."):
        reason, kind = "The folder is hidden: its name begins with a dot.", Why.HIDDEN
    elif path.is_symlink():
        reason, kind = "Links to folders are not followed.", Why.LINK
    else:
        return True
    scan.skipped.append(Refusal(f"{path.relative_to(root)}/", reason, kind))
    return False


def _sort_file(scan: FolderScan, root: Path, path: Path) -> None:
    suffix = path.suffix.lower()
    if left_out.leftover_file(path.name):
        reason, kind = "Another program keeps its own notes in it.", Why.LEFTOVER
    elif path.name.startswith("."):
        reason, kind = "The file is hidden: its name begins with a dot.", Why.HIDDEN
    elif suffix not in SUFFIXES:
        reason = f"The suffix {suffix} is none of a picture that is taken."
        reason, kind = reason if suffix else "The name has no suffix.", Why.NO_PICTURE
    elif path.is_symlink() and not _leads_inside(root, path):
        reason, kind = "The link leads out of the folder, or nowhere.", Why.LINK
    elif _is_special(path):
        reason, kind = "It is no regular file.", Why.NO_PICTURE
    else:
        scan.pictures.append(path)
        return
    scan.skipped.append(Refusal(str(path.relative_to(root)), reason, kind))


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
