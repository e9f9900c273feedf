"""The feed: which jobs and images changed, read once a second for all listeners of a process.

It has no thread: of the listeners' threads one reads when a second is over, and the others take what it
found. Nothing is read while nobody listens. What was found are ids; what a listener may see of them is
asked again by the listener, at the moment of telling.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db.models import ChangeCounter, Image, IndexSnapshot, Job
from mirada.db.session import now_ms
from mirada.jobs import leases
from mirada.people.in_force import Credential, in_force
from mirada.runtime import Runtime

READ_EVERY_S = 1.0
OVERLAP_MS = 5_000
"""A transaction's changes are dated before its commit: so far back they are looked for again."""
IMAGE_OVERLAP_MS = 15_000
"""Images are dated by the clocks of the processes that write them, which may differ by so much."""
MOST_CHANGES = 5_000
"""Of one kind within the overlap; beyond, listeners are told that some were left out."""
KEPT_TICKS = 120
"""Two minutes; a listener that is later begins anew."""
STALE_AFTER_S = 10.0


class Topic(StrEnum):
    """The subjects that one may listen to."""

    JOBS = "jobs"
    IMAGES = "images"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Tick:
    """The findings of one reading.

    Attributes:
        number: counted by one from reading to reading.
        at_ms: when, Unix milliseconds of the database's clock.
        jobs: the owners of changed jobs, by the jobs' ids.
        image_ids: of changed images.
        change_seq: the change counter.
        snapshot: the name of the newest snapshot of any index; None before the first.
        worker_is_alive: whether one was heard of lately.
        is_whole: False where more had changed than were read.
    """

    number: int
    at_ms: int
    jobs: Mapping[int, int | None] = field(default_factory=dict)
    image_ids: frozenset[int] = frozenset()
    change_seq: int = 0
    snapshot: str | None = None
    worker_is_alive: bool = True
    is_whole: bool = True


class Feed:
    """The feed of one process. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        """Read nothing yet."""
        self._runtime = runtime
        self._reading = threading.Lock()
        self._listeners: dict[int, tuple[Credential, frozenset[Topic]]] = {}
        self._numbers = iter(range(1, 1 << 62))
        self._void: set[Credential] = set()
        self._ticks: tuple[Tick, ...] = ()
        self._seen: set[tuple[Any, ...]] = set()
        self._last: Tick | None = None
        self._read_at_s = float("-inf")

    def join(self, credential: Credential, topics: frozenset[Topic]) -> int:
        """Read for one more listener from now on, and return their number."""
        number = next(self._numbers)
        self._listeners[number] = credential, topics
        return number

    def leave(self, number: int) -> None:
        """Read for one listener less; harmless to repeat."""
        self._listeners.pop(number, None)

    def is_in_force(self, credential: Credential) -> bool:
        """Return whether a listener's credential counted when the feed was read last."""
        return credential not in self._void

    def newest(self) -> Tick:
        """Return the newest tick, at most about a second old. Raises Unavailable."""
        self.read_if_due()
        with self._reading:
            if self._last is None:
                self._read()
            assert self._last is not None
            return self._last

    def since(self, number: int) -> list[Tick] | None:
        """Return the ticks after one, the oldest first; None where some of them are gone."""
        self.read_if_due()
        ticks = self._ticks
        if ticks and ticks[0].number > number + 1:
            return None
        return [tick for tick in ticks if tick.number > number]

    def read_if_due(self) -> None:
        """Read unless it was done within a second, or is being done. Raises Unavailable."""
        if time.monotonic() - self._read_at_s < READ_EVERY_S:
            return
        if not self._reading.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._read_at_s >= READ_EVERY_S:
                self._read()
        finally:
            self._reading.release()

    def _read(self) -> None:
        listeners = list(self._listeners.values())
        topics = frozenset(topic for _, wanted in listeners for topic in wanted)
        with self._runtime.reading() as session:
            tick = self._tick(session, topics)
            credentials = {credential for credential, _ in listeners}
            self._void = credentials - in_force(session, credentials)
        self._ticks = (*self._ticks, tick)[-KEPT_TICKS:]
        self._last = tick
        self._read_at_s = time.monotonic()

    def _tick(self, session: Session, topics: frozenset[Topic]) -> Tick:
        at_ms, change_seq, snapshot = session.execute(_STATE).one()
        last = self._last
        if last is None or time.monotonic() - self._read_at_s > STALE_AFTER_S:
            since_ms, self._seen = at_ms, set()
        else:
            since_ms = last.at_ms
        jobs = _changed(session, _JOBS, since_ms - OVERLAP_MS) if Topic.JOBS in topics else []
        images = []
        if Topic.IMAGES in topics:
            images = _changed(session, _IMAGES, as_time(since_ms - IMAGE_OVERLAP_MS))
        is_whole = max(len(jobs), len(images)) <= MOST_CHANGES
        seen = {("job", *row) for row in jobs} | {("image", *row) for row in images}
        fresh, self._seen = seen - self._seen, seen
        return Tick(
            number=1 if last is None else last.number + 1,
            at_ms=at_ms,
            jobs={row[1]: row[3] for row in fresh if row[0] == "job"},
            image_ids=frozenset(row[1] for row in fresh if row[0] == "image"),
            change_seq=change_seq,
            snapshot=snapshot,
            worker_is_alive=leases.is_held(session, leases.SWEEPER),
            is_whole=is_whole,
        )


def as_time(at_ms: int) -> datetime:
    """Return Unix milliseconds as a time in UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)


_STATE = select(
    now_ms(),
    select(ChangeCounter.v).where(ChangeCounter.id == 1).scalar_subquery(),
    select(IndexSnapshot.name).order_by(IndexSnapshot.id.desc()).limit(1).scalar_subquery(),
)
_JOBS = (Job.changed_at_ms, (Job.id, Job.changed_at_ms, Job.owner_id))
_IMAGES = (Image.updated_at, (Image.id, Image.updated_at))


def _changed(session: Session, what: Any, since: Any) -> list[tuple[Any, ...]]:
    dated, columns = what
    query: Select[Any] = select(*columns).where(dated >= since)
    rows: Iterable[Any] = session.execute(query.order_by(dated.desc()).limit(MOST_CHANGES + 1))
    return [tuple(row) for row in rows]


def feed_of(runtime: Runtime) -> Feed:
    """Return the feed of this process."""
    return runtime.remembered("event_feed", lambda: Feed(runtime))
