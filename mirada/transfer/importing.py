"""Import the pictures of a source: resumable, each row once, one process at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mirada.db import audit
from mirada.kernel.audit import Action
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import InvalidInput
from mirada.pictures.folder_import import READERS
from mirada.runtime import Runtime
from mirada.transfer import vectors
from mirada.transfer.asked import Counted, Source, Wishes
from mirada.transfer.claims import claimed
from mirada.transfer.packs_in import PacksIn
from mirada.transfer.pictures import PictureFolder
from mirada.transfer.records import Record, Refused
from mirada.transfer.reports import TransferReport
from mirada.transfer.runs import Run, RunKind, running
from mirada.transfer.sources.exported import ExportedSource
from mirada.transfer.taking import Taking

ROWS = 64
"""Rows per transaction."""
OnProgress = Callable[[TransferReport], None]


def import_pictures(
    runtime: Runtime,
    source: Source,
    folder: PictureFolder,
    wishes: Wishes,
    *,
    report: OnProgress = lambda _: None,
    rows: int = ROWS,
) -> TransferReport:
    """Take every picture of a source that it has not brought before.

    A run that was interrupted, or killed, goes on where it was: what is there is told by its old id.

    Args:
        runtime: a migrated one.
        source: read from its beginning.
        folder: where its files are.
        wishes: how.
        report: called with the running report after every batch.
        rows: per transaction, >= 1.

    Raises:
        Conflict: another process imports from this source.
        InvalidInput: the source or the folder cannot be read, or its vectors are not ours.
        StorageFull, Unavailable: the store or the database stayed away; what was committed stays.
    """
    outcome = TransferReport(source.name, wishes.is_dry)
    with (
        claimed(runtime, source.name) as claim,
        run_of(runtime, source, wishes) as run,
        ThreadPoolExecutor(READERS, thread_name_prefix="import") as readers,
    ):
        space = _space_of(runtime, wishes)
        if not wishes.is_dry:
            with runtime.transaction() as session:
                audit.record(session, Action.LIBRARY_IMPORT, detail={"source": source.name})
        records: Iterator[Record | Refused] = source.records()
        if space is not None and wishes.is_compared:
            records = _compared(runtime, records, folder, space[1], outcome)
        work = Taking(runtime, source, folder, wishes, claim, outcome, space, readers, run)
        while batch := list(itertools.islice(records, rows)):
            work.take(batch)
            report(outcome)
        if isinstance(source, ExportedSource):
            PacksIn(runtime, source, wishes, claim, run, outcome).take()
            report(outcome)
        outcome.is_complete, run.latest = True, outcome.counts()
    return outcome


def run_of(runtime: Runtime, source: Counted, wishes: Wishes) -> AbstractContextManager[Run]:
    """Return what keeps the row of an import while it runs; a dry one has none."""
    if wishes.is_dry:
        return nullcontext(Run())
    return running(runtime, RunKind.IMPORT, source.name, wishes.owner_id, source.count())


def _space_of(runtime: Runtime, wishes: Wishes) -> tuple[int, EmbeddingSpace] | None:
    """Return our space, where vectors come along. Raises InvalidInput where they are of another."""
    if wishes.vectors_are is None:
        return None
    found = runtime.space()
    vectors.require_ours(wishes.vectors_are, found[1])
    return found


def _compared(
    runtime: Runtime,
    records: Iterator[Record | Refused],
    folder: PictureFolder,
    space: EmbeddingSpace,
    outcome: TransferReport,
) -> Iterator[Record | Refused]:
    """Return the same records, once a sample of their vectors agrees with ours."""
    read: list[Record | Refused] = []
    sample: list[tuple[Path, Vector]] = []
    for record in itertools.islice(records, 64 * vectors.SAMPLE):
        read.append(record)
        if isinstance(record, Record) and record.vector is not None:
            try:
                found = vectors.read(record.vector, space.dimension), folder.find(record.picture)
                runtime.decoder.inspect(found[1])
            except InvalidInput:
                continue
            sample.append((found[1], found[0]))
            if len(sample) == vectors.SAMPLE:
                break
    if sample:
        outcome.agreement = vectors.compare(runtime, sample)
    elif any(isinstance(each, Record) and each.vector is not None for each in read):
        raise InvalidInput(
            f"None of the first {len(read):,} rows has both a picture and a vector of "
            f"{space.dimension} numbers with the norm 1, so none can be compared with this model's."
        )
    return itertools.chain(read, records)
