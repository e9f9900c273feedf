"""One visit of the doctor: what is asked for, and what is found."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select

from mirada import kept_folders
from mirada.doctor import kinds
from mirada.doctor.kinds import Kind
from mirada.kept_folders import FoundFile
from mirada.kernel.errors import MiradaError
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

TOGETHER = 500
"""Things that are asked of the database in one query."""
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is amiss.

    Attributes:
        kind: what it means, and what to do.
        subject: which one: a path from its folder on, or the name of a row, such as "content 7".
        detail: what is particular about this one; "" where nothing is.
        is_mended: `--repair` has done what it can do.
    """

    kind: Kind
    subject: str
    detail: str = ""
    is_mended: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done about it."""
        return not self.is_mended and not self.kind.is_note


@dataclass(frozen=True, slots=True)
class Visit:
    """What is asked for.

    Attributes:
        runtime: of the installation.
        repairs: what can be put right is put right.
        is_deep: every byte of every original is read.
        old_before_s: Unix seconds; a file that was changed later may be somebody's who is still at it.
        today: the day, in UTC, by which what is set aside now is called.
    """

    runtime: Runtime
    repairs: bool
    is_deep: bool
    old_before_s: float
    today: date

    @classmethod
    def now(
        cls, runtime: Runtime, *, min_age_s: float, repairs: bool = False, is_deep: bool = False
    ) -> Visit:
        """Return a visit that begins now."""
        at = datetime.now(UTC)
        return cls(runtime, repairs, is_deep, at.timestamp() - min_age_s, at.date())

    def only_looking(self) -> Visit:
        """Return the same visit without repairs, and without reading originals."""
        return replace(self, repairs=False, is_deep=False)

    def is_old(self, found: FoundFile) -> bool:
        """Return whether nobody can be at work on a file any more."""
        return found.changed_s <= self.old_before_s

    def set_aside(
        self,
        root: Path,
        kind: Kind,
        files: Sequence[FoundFile],
        still_needed: Callable[[Sequence[FoundFile]], set[str]],
    ) -> Iterator[Finding]:
        """Yield what was found about files that no row names, and move them where this visit repairs.

        Args:
            root: the folder.
            kind: of the finding.
            files: no row named them a moment ago.
            still_needed: returns the names of those that a row names now. It is asked before they are
                moved, and once more after: what was needed meanwhile goes back to its place.
        """
        if not files:
            return
        if not self.repairs:
            yield from (Finding(kind, shown(root, each.name), _bytes(each)) for each in files)
            return
        needed = still_needed(files)
        moved: dict[str, tuple[FoundFile, Path]] = {}
        for each in files:
            if each.name in needed:
                continue
            try:
                place = kept_folders.set_aside(root, each, self.today)
            except OSError as error:
                yield Finding(
                    kind, shown(root, each.name), f"It cannot be moved: {error.strerror}."
                )
                continue
            if place is not None:
                moved[each.name] = (each, place)
        back = still_needed([each for each, _ in moved.values()])
        for name, (each, place) in moved.items():
            if name in back:
                kept_folders.put_back(root, name, place)
                logger.warning("%s was needed after all and lies in its place.", name)
                continue
            yield Finding(kind, shown(root, name), _bytes(each), is_mended=True)

    def mended(
        self, kind: Kind, subject: str, mend: Callable[[], bool], detail: str = ""
    ) -> Finding:
        """Return a finding, put right by `mend` where this visit repairs.

        `mend` looks again, and returns whether it is put right. What it raises of ours is told.
        """
        if not self.repairs:
            return Finding(kind, subject, detail)
        try:
            return Finding(kind, subject, detail, is_mended=mend())
        except MiradaError as error:
            return Finding(kind, subject, f"It is not repaired: {error.detail}")


def batches(things: Iterator[Thing], size: int = TOGETHER) -> Iterator[list[Thing]]:
    """Yield things in lists of `size` at most, in their order."""
    while batch := list(islice(things, size)):
        yield batch


def ids_of(runtime: Runtime, query: Select[int], column: Any) -> Iterator[int]:
    """Yield the ids that a query selects, lowest first.

    They are read by pages, each after the last id of the one before, so what is repaired meanwhile
    neither hides nor repeats another.
    """
    last = 0
    while True:
        with runtime.reading() as session:
            page = query.where(column > last).order_by(column).limit(TOGETHER)
            ids = session.execute(page).scalars().all()
        yield from ids
        if len(ids) < TOGETHER:
            return
        last = ids[-1]


class Unreadable:
    """Notes folders that cannot be read, for `kept_folders.files_of`."""

    def __init__(self, root: Path) -> None:
        """Note nothing yet."""
        self._root = root
        self.findings: list[Finding] = []

    def __call__(self, name: str, error: OSError) -> None:
        """Note one."""
        subject = shown(self._root, name)
        self.findings.append(Finding(kinds.UNREADABLE, subject, f"{error.strerror}."))


def shown(root: Path, name: str) -> str:
    """Return how a file of one of Mirada's folders is named, such as "images/ab/cd/..."."""
    return f"{root.name}/{name}" if name else root.name


def _bytes(found: FoundFile) -> str:
    return f"{found.byte_size:,} bytes"
