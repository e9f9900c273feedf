"""A listener: one caller who is told of changes that they may see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mirada.db.models import Image, Job
from mirada.db.session import now_ms
from mirada.db.visibility import may_see
from mirada.events.feed import IMAGE_OVERLAP_MS, OVERLAP_MS, Feed, Tick, Topic, as_time
from mirada.jobs import ledger
from mirada.jobs.kinds import Kinds
from mirada.jobs.reports import JobReport, reports_of
from mirada.kernel.audience import Audience
from mirada.people.identity import Person
from mirada.people.in_force import Credential
from mirada.runtime import Runtime

RESUMED_WITHIN_MS = 600_000
"""A listener who was away longer reads the lists anew."""
MOST_TOLD = 500
"""Changes of one kind that a listener is told at once; beyond, they read the list anew."""
LOST_EVERY_MS = 10_000
"""While very much changes, a listener is told so often at most that something was left out."""
EVENTS_LOST = "events_lost"
WORKER_AWAY = "worker_away"
WORKER_BACK = "worker_back"
WORDS = {
    EVENTS_LOST: "Some changes were left out: read the lists anew.",
    WORKER_AWAY: "No worker is there: what waits goes on when one is started.",
    WORKER_BACK: "A worker is there again.",
}


@dataclass(frozen=True, slots=True)
class ImageState:
    """The state of an image; `status` is None for one that is not to be seen any more."""

    id: int
    status: str | None
    version: int | None


@dataclass(frozen=True, slots=True)
class IndexState:
    """The state of the indexes; the name of the newest snapshot is for administrators."""

    change_seq: int
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that concerns the whole page; see WORDS."""

    code: str


Event = JobReport | ImageState | IndexState | Notice


@dataclass(frozen=True, slots=True)
class Listening:
    """A caller who listens, with what they listen to.

    Attributes:
        person: the caller.
        credential: on what they are answered; they are told no more once it does not count.
        topics: what they want to hear of.
        kinds: of jobs, for what is told of their subjects.
        since_ms: changes since then are told first; None begins with now.
    """

    person: Person
    credential: Credential
    topics: frozenset[Topic]
    kinds: Kinds
    since_ms: int | None = None


class Listener:
    """One listener. Used by one thread; `close` by any."""

    def __init__(self, runtime: Runtime, feed: Feed, listening: Listening) -> None:
        """Begin with the first `next`."""
        self._runtime = runtime
        self._feed = feed
        self._listening = listening
        self._number: int | None = None
        self._tick: Tick | None = None
        self._told: dict[int, ImageState] = {}
        self._index: IndexState | None = None
        self._lost_at_ms: int | None = None
        self._owes_notice = False

    @property
    def at_ms(self) -> int | None:
        """The time up to which everything was told; None before the first `next`."""
        return None if self._tick is None else self._tick.at_ms

    def next(self) -> list[Event] | None:
        """Return what is new; None once the caller is not to be told any more. Raises Unavailable."""
        if self._tick is None:
            return self._begin()
        ticks = self._feed.since(self._tick.number)
        if not self._feed.is_in_force(self._listening.credential):
            return None
        before = self._tick
        if ticks is None:
            self._tick = self._feed.newest()
            return list(self._lost(self._tick.at_ms))
        if not ticks:
            return []
        events = list(self._of_ticks(ticks))
        self._tick = ticks[-1]
        return [*events, *self._beside(before, self._tick)]

    def close(self) -> None:
        """Be told nothing any more; harmless to repeat."""
        if self._number is not None:
            self._feed.leave(self._number)

    def _begin(self) -> list[Event]:
        listening = self._listening
        self._number = self._feed.join(listening.credential, listening.topics)
        self._tick = tick = self._feed.newest()
        self._index = self._index_state(tick)
        since_ms = listening.since_ms
        if since_ms is None:
            return []
        if not tick.at_ms - RESUMED_WITHIN_MS <= since_ms <= tick.at_ms + OVERLAP_MS:
            return [Notice(EVENTS_LOST)]
        with self._runtime.reading() as session:
            jobs, images = [], []
            if Topic.JOBS in listening.topics:
                jobs = self._jobs(session, Job.changed_at_ms >= since_ms - OVERLAP_MS)
            if Topic.IMAGES in listening.topics:
                since = as_time(since_ms - IMAGE_OVERLAP_MS)
                images = self._images(session, Image.updated_at >= since)
        lost = [Notice(EVENTS_LOST)] if max(len(jobs), len(images)) > MOST_TOLD else []
        return [*lost, *jobs[:MOST_TOLD], *self._tell(images[:MOST_TOLD])]

    def _of_ticks(self, ticks: Iterable[Tick]) -> Iterator[Event]:
        person, topics = self._listening.person, self._listening.topics
        sees_all = self._listening.credential.as_administrator
        job_ids: set[int] = set()
        image_ids: set[int] = set()
        is_whole = True
        for tick in ticks:
            is_whole = is_whole and tick.is_whole
            if Topic.JOBS in topics:
                job_ids |= {
                    job_id
                    for job_id, owner_id in tick.jobs.items()
                    if sees_all or owner_id == person.id
                }
            if Topic.IMAGES in topics:
                image_ids |= tick.image_ids
        if not is_whole or max(len(job_ids), len(image_ids)) > MOST_TOLD:
            self._owes_notice = True
            return
        if not (job_ids or image_ids):
            return
        with self._runtime.reading() as session:
            jobs = self._jobs(session, Job.id.in_(job_ids)) if job_ids else []
            images = self._images(session, Image.id.in_(image_ids)) if image_ids else []
        yield from jobs
        yield from self._tell(images)
        gone = (image_ids & self._told.keys()) - {image.id for image in images}
        for image_id in sorted(gone):
            del self._told[image_id]
            yield ImageState(image_id, None, None)

    def _tell(self, images: Iterable[ImageState]) -> Iterator[ImageState]:
        for image in images:
            if self._told.get(image.id) != image:
                self._told[image.id] = image
                yield image

    def _jobs(self, session: Session, which: ColumnElement[bool]) -> list[JobReport]:
        listening = self._listening
        rows = session.execute(
            select(Job, now_ms())
            .where(which, ledger.may_see(listening.person))
            .order_by(Job.id)
            .limit(MOST_TOLD + 1)
        ).all()
        now = rows[0][1] if rows else 0
        return reports_of(session, [row[0] for row in rows], now, listening.person, listening.kinds)

    def _images(self, session: Session, which: ColumnElement[bool]) -> list[ImageState]:
        rows = session.execute(
            select(Image.id, Image.status, Image.version)
            .where(which, may_see(Audience(self._listening.person.id)))
            .order_by(Image.id)
            .limit(MOST_TOLD + 1)
        )
        return [ImageState(row.id, str(row.status), row.version) for row in rows]

    def _beside(self, before: Tick, now: Tick) -> Iterator[Event]:
        state = self._index_state(now)
        if Topic.INDEX in self._listening.topics and state != self._index:
            self._index = state
            yield state
        if self._owes_notice:
            yield from self._lost(now.at_ms)
        if before.worker_is_alive != now.worker_is_alive:
            yield Notice(WORKER_BACK if now.worker_is_alive else WORKER_AWAY)

    def _lost(self, at_ms: int) -> Iterator[Notice]:
        """Say that something was left out, now or, where that was said lately, later."""
        self._owes_notice = (
            self._lost_at_ms is not None and at_ms - self._lost_at_ms < LOST_EVERY_MS
        )
        if not self._owes_notice:
            self._lost_at_ms = at_ms
            yield Notice(EVENTS_LOST)

    def _index_state(self, tick: Tick) -> IndexState:
        is_told = self._listening.credential.as_administrator
        return IndexState(tick.change_seq, tick.snapshot if is_told else None)
