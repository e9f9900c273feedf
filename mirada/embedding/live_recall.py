"""Recall while serving: repeat sampled searches exactly, count what they missed, and learn from it.

The planner searches as wide as the build's probes asked for. Where live queries of one form fall below
INDEX_RECALL_TARGET all the same, the way is searched wider for that form, then left out; the next way
serves. A new snapshot is measured anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy.orm import Session

from mirada.db import index_days, recall_rows
from mirada.db.filters import is_followed
from mirada.db.recall_rows import Measured
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.kernel.errors import NotFound, Unavailable
from mirada.kernel.intervals import ONE_SIDED, wilson_high, wilson_low
from mirada.kernel.live_recall import DEPTH, Comparison, PermittedShare, Sample, compared
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import Which
from mirada.metrics.instruments import LIVE_RECALL
from mirada.ports import VectorIndex, VectorSource, single
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

MEASURE_RECALL = "measure_recall"
PAGE = 50
"""Samples that are read at once."""
EVERY_ROW = 1 << 62
"""Permitted rows up to which an answer is exact: all."""
LEAST_QUERIES = 20
"""Fewer teach nothing."""
SURE = 3.0
"""Standard deviations. Recall is looked at again and again, so it must be surely too low: of a way whose
recall is right, one in a thousand looks says otherwise."""
WIDEST = 4
"""How many times wider than measured a way is searched at most; it is doubled until then."""


@dataclass(frozen=True, slots=True)
class Recall:
    """A share of neighbours that were found, with the interval around it.

    Each query counts once, however many of its neighbours were missed: they are missed together.

    Attributes:
        queries: how many were repeated.
        share: of their ten nearest, in [0, 1].
        at_least, at_most: the ends of the interval, see `intervals.wilson_low`.
    """

    queries: int
    share: float
    at_least: float
    at_most: float

    @classmethod
    def of(cls, rows: Sequence[Measured], z: float = ONE_SIDED) -> Self | None:
        """Return the recall of all these together; None where nothing was measured."""
        queries, wanted = sum(row.queries for row in rows), sum(row.wanted for row in rows)
        if not wanted:
            return None
        share = sum(row.found for row in rows) / wanted
        hits = share * queries
        return cls(queries, share, wilson_low(hits, queries, z), wilson_high(hits, queries, z))


@dataclass(frozen=True, slots=True)
class LiveRecall:
    """The findings about one way for one form of query, as wide as it is searched now.

    Attributes:
        form, way: of the queries, and how they were answered.
        whole: of all queries.
        by_share: by how much of what is there they were allowed to find.
    """

    form: QueryForm
    way: SearchWay
    whole: Recall
    by_share: Mapping[PermittedShare, Recall]


def live_recall(session: Session, space_id: int, snapshot: str) -> list[LiveRecall]:
    """Return what was learned of a snapshot while it served; see `IndexStatus.measured_on`."""
    learned = recall_rows.trust(session, space_id, snapshot)
    found = []
    for which, rows in _by_way(recall_rows.measured(session, space_id, snapshot)):
        now = [row for row in rows if row.factor == round(learned.factor(*which))]
        whole = Recall.of(now)
        if whole is not None:
            by_share = {row.share: recall for row in now if (recall := Recall.of([row]))}
            found.append(LiveRecall(*which, whole, by_share))
    return found


def queue_measurements(runtime: Runtime) -> None:
    """Queue the comparison of the samples that wait, and ring for it."""
    with runtime.reading() as session:
        space_ids = recall_rows.spaces_with_samples(session)
    for space_id in space_ids:
        with runtime.transaction() as session:
            job = ledger.enqueue(session, MEASURE_RECALL, space_id=space_id)
        runtime.doorbell.ring(job.id, job.kind)


def measure_recall(runtime: Runtime, attempt: Attempt) -> None:
    """Compare the samples of the job's space with exact answers, delete them, and learn from it."""
    space_id = attempt.job.space_id
    if space_id is None:
        raise NotFound("The job names no embedding space.")
    source, index = runtime.vector_source(space_id), runtime.index(space_id)
    index.refresh()
    with runtime.transaction() as session:
        recall_rows.forget(session, [])
    while True:
        with runtime.reading() as session:
            samples = recall_rows.waiting(session, space_id, PAGE)
        if not samples:
            break
        results = []
        for sample in samples.values():
            attempt.check_long()
            results.append((sample, _compare(source, index, sample)))
        status = index.status()
        with runtime.transaction() as session:
            recall_rows.forget(session, list(samples))
            recall_rows.begin_anew(session, space_id, but=status.measured_on)
            for sample, comparison in results:
                if comparison is not None:
                    share = PermittedShare.of(sample.permitted_count, status.live_count)
                    recall_rows.count(session, space_id, sample, share, comparison)
                    _publish(source.space.name, sample, share, comparison)
            _keep_day(session, space_id, [each for _, each in results if each is not None])
            _learn(session, space_id, status.measured_on, runtime.settings.index_recall_target)
    attempts.finish_alone(runtime, attempt)


def _compare(source: VectorSource, index: VectorIndex, sample: Sample) -> Comparison | None:
    """Repeat a search exactly; None when what it was allowed to find has changed too much since."""
    try:
        index.wait_for(sample.change_seq)
    except Unavailable:
        return None  # A number of before a restore.
    answer = index.search(
        single(sample.vector), DEPTH, sample.scope, form=sample.form, scan_rows=EVERY_ROW
    )[0]
    if not is_followed(sample.scope) and answer.change_seq != sample.change_seq:
        # A like, for one, lets more pass and gives no vector a new number.
        return None
    ids = [match.id for match in answer.matches]
    changed = source.changed_among([*ids, *sample.ids], sample.change_seq)
    return compared(sample, ids, [match.similarity for match in answer.matches], changed)


def _keep_day(session: Session, space_id: int, measured: Sequence[Comparison]) -> None:
    if measured:
        wanted = sum(each.wanted for each in measured)
        found = sum(each.found for each in measured)
        index_days.add_measured(session, space_id, len(measured), wanted, found)


def _publish(space: str, sample: Sample, share: PermittedShare, comparison: Comparison) -> None:
    missed = comparison.wanted - comparison.found
    for outcome, number in (("found", comparison.found), ("missed", missed)):
        LIVE_RECALL.labels(space, sample.form, sample.way, share, outcome).inc(number)


def _learn(session: Session, space_id: int, snapshot: str, target: float) -> None:
    """Search a way wider, or leave it out, where its recall is surely below the target."""
    learned = recall_rows.trust(session, space_id, snapshot)
    for which, rows in _by_way(recall_rows.measured(session, space_id, snapshot)):
        factor = round(learned.factor(*which))
        now = [row for row in rows if row.factor == factor]
        recalls = [Recall.of(some, SURE) for some in (now, *([row] for row in now))]
        low = [
            recall
            for recall in recalls
            if recall and recall.queries >= LEAST_QUERIES and recall.at_most < target
        ]
        if which in learned.left_out or not low:
            continue
        worst = min(low, key=lambda recall: recall.share)
        reason = (
            f"{worst.queries} live queries found {worst.share:.3f} of their ten nearest, surely less "
            f"than {target:g}"
        )
        wider = factor * 2 if factor < WIDEST else None
        recall_rows.learn(session, space_id, snapshot, which, wider, reason)
        logger.warning(
            "Of space %s, %s for queries of the form %s %s: %s. The next rebuild measures it anew.",
            space_id,
            which[1].value,
            which[0].value,
            f"is searched {wider} times as wide" if wider else "is left out",
            reason,
        )


def _by_way(rows: Iterable[Measured]) -> Iterable[tuple[Which, list[Measured]]]:
    found: dict[Which, list[Measured]] = {}
    for row in rows:
        found.setdefault((row.form, row.way), []).append(row)
    return found.items()


KIND = Kind(
    MEASURE_RECALL,
    measure_recall,
    RetryPolicy(max_attempts=2),
    title="Measure how much searches find",
)
