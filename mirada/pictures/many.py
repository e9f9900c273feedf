"""Several pictures of one request, and those in a ZIP: each taken in or refused by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from zipfile import ZipInfo

from mirada.kernel.errors import Conflict, InvalidInput, MiradaError, NotAllowed
from mirada.pictures.archives import Archive, is_archive
from mirada.pictures.intake import TakenIn, take_in
from mirada.pictures.new_image import FileClaims, NewImage
from mirada.ports import StagedFile
from mirada.runtime import Runtime

MOST_FILES = 60
"""Pictures of one request, those in a ZIP counted: each is decoded before the answer."""

GROWTH = 4
"""Times MAX_UPLOAD_MB that the files of a ZIP may be together, unpacked: they are read one by one."""
REFUSALS = (InvalidInput, NotAllowed, Conflict)
"""Of one file; whatever else goes wrong concerns all of them."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as it was sent."""

    name: str
    staged: StagedFile


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file that was taken in or refused.

    Attributes:
        name: as it was sent, or as the ZIP has it.
        taken: the picture; None where it was refused.
        refusal: why; None where it was not.
    """

    name: str
    taken: TakenIn | None = None
    refusal: MiradaError | None = None


def take_in_many(
    runtime: Runtime,
    files: Iterable[Sent],
    image: NewImage,
    claims: FileClaims,
    request_id: str | None = None,
) -> list[Outcome]:
    """Take in each file and each file of a ZIP, and return what became of them in their order.

    Every staged file is discarded or committed. What is refused stops no other.

    Args:
        runtime: where.
        files: as they were sent.
        image: what each becomes, but for its file's name.
        claims: about each.
        request_id: follows the work into the worker's log.

    Raises:
        Unavailable, StorageFull: not now; those before are taken in.
    """
    outcomes: list[Outcome] = []

    def take(name: str, staged: StagedFile) -> Outcome:
        if len(outcomes) >= MOST_FILES:
            staged.discard()
            return Outcome(
                name, refusal=InvalidInput(f"At most {MOST_FILES} at once; send it again.")
            )
        named = replace(image, texts=replace(image.texts, filename=PurePosixPath(name).name))
        return _guarded(
            name,
            lambda: Outcome(name, take_in(runtime, staged, named, claims, request_id=request_id)),
        )

    for sent in files:
        if is_archive(sent.staged.path):
            try:
                outcomes.extend(_of_archive(runtime, sent, take))
            finally:
                sent.staged.discard()
        else:
            outcomes.append(take(sent.name, sent.staged))
    return outcomes


def _of_archive(
    runtime: Runtime, sent: Sent, take: Callable[[str, StagedFile], Outcome]
) -> Iterator[Outcome]:
    limit = runtime.settings.max_upload_bytes
    try:
        archive = Archive(
            sent.staged.path,
            most_pictures=MOST_FILES,
            max_bytes_each=limit,
            max_bytes=limit * GROWTH,
        )
    except REFUSALS as refusal:
        yield Outcome(sent.name, refusal=refusal)
        return
    with archive:
        for entry, info in archive:
            if entry.refusal is not None:
                yield Outcome(entry.name, refusal=entry.refusal)
                continue
            try:
                staged = unpacked(runtime, archive, info)
            except REFUSALS as refusal:
                yield Outcome(entry.name, refusal=refusal)
                continue
            yield take(entry.name, staged)


def unpacked(runtime: Runtime, archive: Archive, info: ZipInfo) -> StagedFile:
    """Return a file of a ZIP, staged.

    Raises:
        ImageTooLarge, CorruptImage: as `Archive.copy` does; nothing is left then.
        Unavailable, StorageFull: not now.
    """
    staged = runtime.image_store.stage()
    try:
        archive.copy(info, staged.stream)
        staged.stream.flush()
    except BaseException:
        staged.discard()
        raise
    return staged


def _guarded(name: str, work: Callable[[], Outcome]) -> Outcome:
    try:
        return work()
    except REFUSALS as refusal:
        return Outcome(name, refusal=refusal)
