"""An index whose graph misses neighbours by a known number, as one does whose beam is too narrow."""

from __future__ import annotations

from dataclasses import replace

from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED, Trust, WayStatus
from mirada.ports import IndexStatus, SearchAnswer, SearchPlan
from testing.exact_index import ExactIndex

BEAM = 16


class ForgetfulIndex(ExactIndex):
    """A VectorIndex that answers texts by a graph. Snapshot: "s1".

    `missed` is how many of the ten nearest it misses when it searches as wide as measured; twice as wide
    it misses half as many.
    """

    missed = 0
    snapshot = "s1"
    trust: Trust = MEASURED

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        is_exact = form is not QueryForm.TEXT or scan_rows is not None
        if is_exact or (form, SearchWay.HNSW) in self.trust.left_out:
            return super().search(queries, k, scope, form=form)
        factor = round(self.trust.factor(form, SearchWay.HNSW))
        missed = self.missed // factor
        answers = super().search(queries, k + missed, scope, form=form)
        plan = SearchPlan(SearchWay.HNSW, ef_search=BEAM * factor)
        return [replace(each, matches=each.matches[missed:], plan=plan) for each in answers]

    def set_trust(self, trust: Trust) -> None:
        self.trust = trust

    def status(self) -> IndexStatus:
        return self._as_a_graph(super().status())

    def known_status(self) -> IndexStatus | None:
        status = super().known_status()
        return None if status is None else self._as_a_graph(status)

    def _as_a_graph(self, status: IndexStatus) -> IndexStatus:
        which = QueryForm.TEXT, SearchWay.HNSW
        reason = self.trust.left_out.get(which)
        way = WayStatus(
            *which,
            is_in_use=reason is None,
            reason=reason,
            setting=BEAM,
            recall=0.99,
            recall_at_least=0.98,
            probes=128,
            factor=self.trust.factor(*which),
        )
        return replace(status, snapshot=self.snapshot, ways=(way,))
