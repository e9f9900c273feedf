"""Import a folder of pictures: batched, resumable, each picture once; while the server runs or not."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from mirada.db import spaces
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs.batches import BATCH
from mirada.kernel.errors import ImageTooLarge, InvalidInput, QuotaReached, Unavailable
from mirada.pictures import folder_scan, intake, left_out, quota
from mirada.pictures.folder_scan import ImportReport
from mirada.pictures.held_files import HeldFiles
from mirada.pictures.left_out import Refusal, Why
from mirada.pictures.new_image import FileClaims, NewImage, Processing
from mirada.pictures.register import NewPicture, Registered
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

BATCH_SIZE = 32
"""Pictures per transaction: on SQLite it holds up other writers for some 50 ms."""
READERS = 4
"""Files that are copied, synced and decoded at once."""
HELD_BYTES = 64 * 1024 * 1024
"""Bytes of a batch's files that are held between hashing and storing; the others are read twice."""
PATIENCE_S = 60.0
"""How long a batch waits for a database or disk that is away before the import gives up."""
LOG_EVERY_S = 10.0

Result = TypeVar("Result")
OnProgress = Callable[[ImportReport], None]


def import_folder(
    runtime: Runtime,
    folder: Path,
    *,
    owner_id: int,
    is_public: bool,
    read_metadata: bool = True,
    report: OnProgress | None = None,
    batch_size: int = BATCH_SIZE,
    is_stopping: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Take in every picture below a folder that its owner does not have yet.

    What counts is the bytes: a run that was interrupted goes on where it was, a second run takes
    nothing. A suffix that disagrees with the bytes is no reason to refuse a file.

    Args:
        runtime: a migrated one.
        folder: read recursively; links that lead out of it are not followed.
        owner_id: whose images they become.
        is_public: whether anyone may see them, and the prompts that are read from them.
        read_metadata: whether to read what generators wrote into the files.
        report: called with the running report after every batch; logged every 10 s when None.
        batch_size: pictures per transaction, >= 1.
        is_stopping: asked before every batch; True ends the import early.

    Raises:
        InvalidInput: the folder is not there or cannot be read.
        StorageFull, Unavailable: the store or the database stayed away; what was committed stays.
    """
    try:
        scan = folder_scan.scan_folder(folder)
    except OSError as error:
        raise InvalidInput(f"The folder {folder} cannot be imported: {error.strerror}.") from error
    outcome = ImportReport(scan)
    report = report or logged()
    report(outcome)
    image, claims = NewImage(owner_id, is_public=is_public), FileClaims(read_metadata=read_metadata)
    batches = _Batches(runtime, folder.resolve(), image, claims, outcome)
    with ThreadPoolExecutor(READERS, thread_name_prefix="import") as readers:
        for start in range(0, outcome.total, batch_size):
            if is_stopping():
                return outcome
            batches.take(scan.pictures[start : start + batch_size], readers)
            report(outcome)
    outcome.is_complete = True
    return outcome


@dataclass(frozen=True, slots=True)
class _Batches:
    """One import's batches: look, read, store, register, ring."""

    runtime: Runtime
    root: Path
    image: NewImage
    claims: FileClaims
    outcome: ImportReport

    def take(self, paths: Sequence[Path], readers: ThreadPoolExecutor) -> None:
        """Take a batch in, completely or, when this raises, not at all."""
        held = HeldFiles(HELD_BYTES)
        hashes = list(readers.map(lambda path: self._hash(path, held), paths))
        unknown = self._unknown(list(zip(paths, hashes, strict=True)))
        kept: list[tuple[NewPicture, Path]] = []
        futures = [(path, readers.submit(self._keep, path, held.take(path))) for path in unknown]
        trouble: Exception | None = None
        for path, future in futures:
            try:
                picture = future.result()
            except Unavailable as error:
                trouble = error
                continue
            if picture is not None:
                kept.append((picture, path))
        if trouble is not None:
            for picture, _ in kept:
                intake.drop(self.runtime, picture)
            raise trouble
        if kept:
            paths_of = {picture.sha256: path for picture, path in kept}
            self._settle(self._register_what_fits(kept), paths_of)

    def _unknown(self, hashed: list[tuple[Path, str | None]]) -> list[Path]:
        """Return the files to read, one for each picture the owner does not have."""
        hashes = [sha256 for _, sha256 in hashed if sha256 is not None]
        seen = patiently(lambda: self._owned(hashes))
        wanted = []
        for path, sha256 in hashed:
            if sha256 in seen:
                self._know(path)
            elif sha256 is not None:
                seen.add(sha256)
                wanted.append(path)
        return wanted

    def _owned(self, hashes: list[str]) -> set[str]:
        with self.runtime.reading() as session:
            return folder_scan.owned_hashes(session, self.image.owner_id, hashes)

    def _hash(self, path: Path, held: HeldFiles) -> str | None:
        with self._refusing(path), self._opened(path) as file:
            if not held.has_room_for(os.fstat(file.fileno()).st_size):
                return hashlib.file_digest(file, "sha256").hexdigest()
            content = file.read(self.runtime.settings.max_upload_bytes)
            held.keep(path, content)
            return hashlib.sha256(content).hexdigest()
        return None

    def _keep(self, path: Path, content: bytes | None) -> NewPicture | None:
        """Store a picture from its bytes, or from its file where they are not held."""
        with self._refusing(path), ExitStack() as opened:
            source: BinaryIO = (
                io.BytesIO(content)
                if content is not None
                else opened.enter_context(self._opened(path))
            )
            staged = self.runtime.image_store.stage()
            try:
                shutil.copyfileobj(source, staged.stream, 1024 * 1024)
                return intake.keep(self.runtime, staged, self.claims)
            finally:
                staged.discard()
        return None

    @contextmanager
    def _opened(self, path: Path) -> Iterator[io.BufferedReader]:
        # Non-blocking: a pipe put there since the scan must not hold the import up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidInput("It is no regular file any more.")
            if found.st_size > self.runtime.settings.max_upload_bytes:
                limit = self.runtime.settings.max_upload_mb
                raise ImageTooLarge(f"It is larger than {limit} MB (MAX_UPLOAD_MB).")
            yield file

    @contextmanager
    def _refusing(self, path: Path) -> Iterator[None]:
        """Turn what is wrong with one file into an entry of the report."""
        try:
            yield
            return
        except FileNotFoundError:
            reason = "It vanished during the import."
        except OSError as error:
            reason = f"It cannot be read: {error.strerror}."
        except InvalidInput as error:
            self.outcome.refused.append(left_out.refused(self._name(path), error))
            return
        self.outcome.refused.append(Refusal(self._name(path), reason))

    def _know(self, path: Path) -> None:
        reason = "The owner has an image of these bytes."
        self.outcome.known.append(Refusal(self._name(path), reason, Why.KNOWN))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def _register_what_fits(
        self, kept: list[tuple[NewPicture, Path]]
    ) -> list[tuple[NewPicture, Registered]]:
        """Register pictures; those beyond their owner's quota are refused, and the others taken."""
        try:
            return self._register([(picture, path.name) for picture, path in kept])
        except QuotaReached as error:
            if len(kept) == 1:
                picture, path = kept[0]
                intake.drop(self.runtime, picture)
                self.outcome.refused.append(left_out.refused(self._name(path), error))
                return []
        # Of a smaller part some may still fit: a large file does not keep the small ones out.
        half = len(kept) // 2
        return self._register_what_fits(kept[:half]) + self._register_what_fits(kept[half:])

    def _register(self, kept: list[tuple[NewPicture, str]]) -> list[tuple[NewPicture, Registered]]:
        is_sent = False

        def write() -> list[tuple[NewPicture, Registered]]:
            nonlocal is_sent
            with self.runtime.transaction() as session:
                processing = Processing(
                    spaces.pinned_space_id(session),
                    embeds=self.runtime.settings.embeddings_enabled,
                    quota=quota.of_everybody(self.runtime.settings),
                )
                registered = folder_scan.register_batch(session, kept, self.image, processing)
                is_sent = True
            return registered

        try:
            return patiently(write)
        except QuotaReached:
            # Nothing was sent; the files wait for a smaller part.
            raise
        except BaseException:
            # Once a COMMIT was sent, rows may point at the files: they stay.
            if not is_sent:
                for picture, _ in kept:
                    intake.drop(self.runtime, picture)
            raise

    def _settle(
        self, written: list[tuple[NewPicture, Registered]], paths_of: dict[str, Path]
    ) -> None:
        for picture, registered in written:
            if not registered.is_new_content:
                intake.drop(self.runtime, picture)
            # An image of before whose file is this very one: our own commit, seen on a second try.
            if registered.was_replayed and not registered.is_new_content:
                self._know(paths_of[picture.sha256])
            else:
                self.outcome.taken += 1
        due = [registered.job_id for _, registered in written if registered.job_id is not None]
        # A ring is answered by a batch, so one for each batch will do.
        for job_id in due[::BATCH]:
            self.runtime.doorbell.ring(job_id, CREATE_EMBEDDINGS)


def patiently(work: Callable[[], Result]) -> Result:
    """Return what the work returns, trying again while the database is away; it must be repeatable.

    Raises:
        Unavailable: it was away for longer than PATIENCE_S.
    """
    deadline = time.monotonic() + PATIENCE_S
    delay_s = 0.1
    while True:
        try:
            return work()
        except Unavailable:
            if time.monotonic() + delay_s > deadline:
                raise
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, 5.0)


def logged() -> OnProgress:
    """Return what logs the progress of an import every LOG_EVERY_S seconds."""
    logged_at = time.monotonic()

    def log(report: ImportReport) -> None:
        nonlocal logged_at
        if time.monotonic() - logged_at >= LOG_EVERY_S:
            logged_at = time.monotonic()
            logger.info("Importing: %s of %s pictures looked at.", report.done, report.total)

    return log
