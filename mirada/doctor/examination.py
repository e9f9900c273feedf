"""The whole examination: every check in its order, and what stops a repair that looks like a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sqlalchemy import func, select

from mirada import kept_folders
from mirada.db.models import Content
from mirada.doctor import copies, jobs, kinds, leftovers, originals, records, vectors
from mirada.doctor.visit import Finding, Visit
from mirada.kernel.errors import Conflict
from mirada.pictures.thumbnails import queue_backlog
from mirada.runtime import Runtime

DEFAULT_AGE_S = 24 * 3600
"""An upload that takes longer is taken for one that a crash left, in the folder of uploads as well."""
LEAST_AGE_S = 3600
"""Beside a running server no younger file is moved: the longest transaction is over by then."""
FEW = 100
PART = 0.1
"""More than FEW pictures, and more than this part of all, are not lost by a crash."""

CHECKS = (
    leftovers.departures,
    originals.broken_off_uploads,
    originals.files_without_rows,
    originals.rows_without_files,
    copies.copies_without_pictures,
    copies.pictures_without_copies,
    leftovers.unfinished_files,
    leftovers.old_exports,
    leftovers.index_files,
    records.nobodys_pictures,
    records.nobodys_texts,
    vectors.vectors_of_nothing,
    vectors.pictures_without_vector,
    vectors.images_out_of_step,
    jobs.ends_not_done,
    jobs.jobs_of_nothing,
    records.dangling_rows,
    jobs.stuck_jobs,
)


def examine(visit: Visit) -> Iterator[Finding]:
    """Yield everything that is amiss; where the visit repairs, what can be put right has been."""
    yield from chain.from_iterable(check(visit) for check in CHECKS)
    if visit.repairs:
        queue_backlog(visit.runtime)


def require_plausible(visit: Visit) -> None:
    """Refuse to repair where so much is amiss that settings are more likely wrong than files lost.

    A repair on the database of another installation, or while a volume is not mounted, would move every
    file, or mark every picture as lost.

    Raises:
        Conflict: it looks like that.
    """
    with visit.runtime.reading() as session:
        stored = select(func.count(Content.id)).where(Content.storage_key != "")
        total = session.execute(stored).scalar_one()
    looking = visit.only_looking()
    most = max(FEW, int(total * PART))
    for check, kind, what in (
        (originals.files_without_rows, kinds.ORPHAN, "files have no row in the database"),
        (originals.rows_without_files, kinds.MISSING, "pictures have no file"),
    ):
        found = 0
        for finding in check(looking):
            found += finding.kind is kind
            if found > most:
                where = visit.runtime.settings.url.render_as_string(hide_password=True)
                raise Conflict(
                    f"More than {most} {what}, of {total} pictures in all, so nothing was repaired. Is "
                    f"{where} the database of these files, and is the volume of "
                    f"{visit.runtime.settings.image_dir} mounted? Where both are right, add --yes."
                )


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What is set aside: how many files, and their bytes."""

    count: int
    byte_size: int


def quarantine(runtime: Runtime) -> Quarantine:
    """Return what is set aside in all folders."""
    found = [kept_folders.quarantined(root) for root in _roots(runtime)]
    return Quarantine(sum(count for count, _ in found), sum(size for _, size in found))


def empty_quarantine(visit: Visit) -> Quarantine:
    """Erase all that is set aside, and return how much that was. Raises OSError."""
    there = quarantine(visit.runtime)
    for root in _roots(visit.runtime):
        kept_folders.erase_quarantined(root, visit.today)
    return there


def forget_expired(runtime: Runtime) -> None:
    """Erase what was set aside more than `kept_folders.KEPT_DAYS` ago. Raises OSError."""
    for root in _roots(runtime):
        kept_folders.erase_expired(root)


def _roots(runtime: Runtime) -> list[Path]:
    """Return the folders that have a quarantine, each once."""
    settings = runtime.settings
    roots = (
        settings.image_dir,
        settings.copies_dir,
        settings.handed_dir,
        settings.data_dir,
        settings.faiss_index_dir,
    )
    return sorted({root.resolve() for root in roots})
