"""Gauges of the database for Prometheus, read at every scrape with a limit on the wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from mirada.db import changes
from mirada.health.probes import Probe, Result
from mirada.jobs import ledger
from mirada.jobs.kinds import Kinds
from mirada.jobs.ledger import Backlog
from mirada.runtime import Runtime

FRESH_S = 1.0
"""How long a result is used again, so that frequent scrapes cost the database no more."""
PATIENCE_S = 120.0
"""A count of very many jobs may take longer than a scrape waits; the one before is shown meanwhile."""
WAIT_S = 2.0
"""How long a scrape waits; Prometheus gives up after 10 s unless told otherwise."""


class DatabaseGauges:
    """A Prometheus collector; one gauge says whether the database answers."""

    def __init__(self, runtime: Runtime, kinds: Kinds) -> None:
        """Prepare the probes; nothing is read before the first scrape."""
        self._runtime = runtime
        self._kinds = kinds
        self._change_seq = Probe("metrics", self._read_change_seq, fresh_s=FRESH_S)
        self._backlog = Probe(
            "backlog", self._read_backlog, fresh_s=FRESH_S, patience_s=PATIENCE_S, is_brief=False
        )

    def is_database_up(self) -> bool:
        """Return whether the database answers, or did a moment ago; waits WAIT_S at most."""
        self._change_seq.start()
        return self._change_seq.result(time.monotonic() + WAIT_S).is_ok

    def describe(self) -> Iterable[Metric]:
        """Return the gauges without values."""
        return _families()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges that could be read; the first one says whether the database answered."""
        until_s = time.monotonic() + WAIT_S
        self._change_seq.start()
        self._backlog.start()
        change_seq = self._change_seq.result(until_s)
        backlog = self._backlog.result(until_s) if change_seq.is_ok else Result(None)
        up, number, jobs, wait = _families()
        up.add_metric((), float(change_seq.is_ok))
        yield up
        if change_seq.found is not None:
            number.add_metric((), change_seq.found)
            yield number
        if backlog.found is not None:
            for labels, count in backlog.found.jobs.items():
                jobs.add_metric(labels, count)
            wait.add_metric((), backlog.found.longest_wait_s)
            yield jobs
            yield wait

    def _read_change_seq(self) -> int:
        with self._runtime.reading() as session:
            return changes.current_seq(session)

    def _read_backlog(self) -> Backlog:
        with self._runtime.reading() as session:
            return ledger.backlog(session, self._kinds)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("mirada_database_up", "Whether the database answered within 2 s."),
        GaugeMetricFamily("mirada_change_seq", "Number of the last committed change."),
        GaugeMetricFamily(
            "mirada_jobs",
            "Jobs that wait, run, failed for good or are quarantined.",
            labels=("kind", "state"),
        ),
        GaugeMetricFamily(
            "mirada_job_longest_wait_seconds",
            "How long the oldest due job has waited for a worker.",
        ),
    )
