"""An index whose answers are sampled, to be compared with exact ones, and that is told what this taught."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence

from mirada.background import Loop
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix
from mirada.kernel.live_recall import DEPTH, Sample
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED, Trust
from mirada.ports import IndexStatus, RebuildProgress, SearchAnswer, SnapshotRecord, VectorIndex

logger = logging.getLogger(__name__)

EVERY_S = 2.0
"""How long samples stay in memory, and how soon a lesson reaches every process."""
MOST_IN_MEMORY = 64
"""Samples of EVERY_S at most; further ones are left out."""
MEASURED_AS = {
    SearchWay.HNSW: SearchWay.HNSW,
    SearchWay.WIDENED: SearchWay.HNSW,
    SearchWay.QUANTISED: SearchWay.QUANTISED,
    SearchWay.IVF: SearchWay.IVF,
}
"""The ways whose answers may miss something; a wider walk is a walk."""


class SampledIndex:
    """A VectorIndex. A request is not held up: samples wait in memory and a thread stores them.

    What could not be stored is lost.
    """

    def __init__(
        self,
        index: VectorIndex,
        share: float,
        keep: Callable[[Sequence[Sample]], object],
        learned: Callable[[str], Trust],
    ) -> None:
        """Prepare; the thread begins with `start`.

        Args:
            index: that answers.
            share: of the answers, to be sampled; in [0, 1].
            keep: stores samples; it may raise.
            learned: returns the lessons about a snapshot, by its name; "" where there is none.
        """
        self._index = index
        self._share = share
        self._keep = keep
        self._learned = learned
        self._random = random.Random()  # noqa: S311 - which searches are sampled is no secret
        self._samples: deque[Sample] = deque(maxlen=MOST_IN_MEMORY)
        self._trust = MEASURED
        self._told: tuple[str, Trust] | None = None
        self._loop = Loop(
            "recall-samples",
            self.step,
            EVERY_S,
            "Recall is not measured just now",
            waits_first=True,
        )

    def start(self) -> None:
        """Begin to store samples and to follow the lessons."""
        self._loop.start()

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Return the index's answers; see `VectorIndex.search`."""
        answers = self._index.search(queries, k, scope, form=form, scan_rows=scan_rows)
        for number, answer in enumerate(answers):
            way = MEASURED_AS.get(answer.plan.way)
            if way is not None and self._random.random() < self._share:
                self._samples.append(
                    Sample(
                        vector=queries[number].copy(),
                        scope=scope,
                        form=form,
                        way=way,
                        factor=round(self._trust.factor(form, way)),
                        k=min(k, DEPTH),
                        ids=tuple(match.id for match in answer.matches[:DEPTH]),
                        similarities=tuple(m.similarity for m in answer.matches[:DEPTH]),
                        permitted_count=answer.permitted_count,
                        change_seq=answer.change_seq,
                        snapshot=self._snapshot(),
                    )
                )
        return answers

    def step(self) -> None:
        """Store the samples, and search from now on as the lessons say. Raises what either does."""
        snapshot = self._snapshot()
        learned = self._learned(snapshot)
        # Said again and again: an index that loads its snapshot anew begins without lessons.
        if learned != MEASURED or self._told != (snapshot, learned):
            self._trust = learned
            self._index.set_trust(learned)
            self._told = snapshot, learned
        samples = [self._samples.popleft() for _ in range(len(self._samples))]
        if samples:
            self._keep(samples)

    def _snapshot(self) -> str:
        status = self._index.known_status()
        return status.measured_on if status else ""

    def refresh(self) -> int:
        """See `VectorIndex.refresh`."""
        return self._index.refresh()

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """See `VectorIndex.wait_for`."""
        self._index.wait_for(change_seq, timeout_s)

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """See `VectorIndex.rebuild`."""
        return self._index.rebuild(fencing_token, progress)

    def set_trust(self, trust: Trust) -> None:
        """See `VectorIndex.set_trust`; the next lesson replaces it."""
        self._trust = trust
        self._index.set_trust(trust)

    def tune(self) -> IndexStatus:
        """See `VectorIndex.tune`."""
        return self._index.tune()

    def status(self) -> IndexStatus:
        """See `VectorIndex.status`."""
        return self._index.status()

    def known_status(self) -> IndexStatus | None:
        """See `VectorIndex.known_status`."""
        return self._index.known_status()

    def close(self) -> None:
        """Stop the thread and close the index."""
        self._loop.stop()
        self._index.close()
