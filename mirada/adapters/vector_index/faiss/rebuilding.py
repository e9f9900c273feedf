"""A rebuild in two stages: the quantised form within seconds, then the graph, over the same vectors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from mirada.adapters.vector_index.faiss import costs, publishing
from mirada.adapters.vector_index.faiss.building import (
    EF_CONSTRUCTION,
    HNSW_M,
    HNSW_MIN_ROWS,
    GatheredRows,
    built_graph,
    gather,
    omp_threads,
)
from mirada.adapters.vector_index.faiss.drafts import Draft, disk_errors
from mirada.adapters.vector_index.faiss.measuring import measured_scans, measured_walks
from mirada.adapters.vector_index.faiss.measuring_lists import Limits
from mirada.adapters.vector_index.faiss.planning import (
    RECALL_RANK,
    Costs,
    Planner,
    WaySetting,
)
from mirada.adapters.vector_index.faiss.probing import (
    MANY_ROWS,
    Answering,
    Halves,
    Probes,
    queries_by_form,
)
from mirada.adapters.vector_index.faiss.quantised import LIST_ROWS, QuantisedForm
from mirada.adapters.vector_index.faiss.snapshot import (
    FORMAT,
    GRAPH,
    METRIC,
    QUANTISED,
    ROTATION,
    VECTORS,
)
from mirada.adapters.vector_index.faiss.vectors_file import VectorsFile
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import QueryForm
from mirada.kernel.ways import MEASURED
from mirada.ports import RebuildProgress, SnapshotRecord, VectorSource

logger = logging.getLogger(__name__)

CANARIES, CANARIES_OF_MANY = 20, 8
FLAT, WITHOUT_GRAPH, WITH_GRAPH = "flat", "quantised", "hnsw"
"""Kinds of snapshot: exact scans alone, the quantised form too, the graph as well."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """The kind of snapshot that is wanted.

    Attributes:
        recall_target: least recall@10 that every way has to show for every form, in (0, 1].
        hnsw_min_rows: from how many rows on there are ways beside the exact scan.
        with_graph: whether a graph is built then; without one a million rows take seconds.
        threads: of the graph's building; None leaves one core to those who search meanwhile.
        list_rows: rows of an inverted list, on average.
        extra_queries: returns (q, d) unit rows of texts to measure with; None where there are none.
    """

    recall_target: float
    hnsw_min_rows: int = HNSW_MIN_ROWS
    with_graph: bool = True
    threads: int | None = None
    list_rows: int = LIST_ROWS
    extra_queries: Callable[[], Matrix] | None = None


@dataclass(slots=True)
class _Progress:
    """Rows done of rows in all; those of the graph follow those that are read."""

    report: RebuildProgress
    total: int
    done: int = 0

    def at(self, done: int) -> None:
        self.done, self.total = done, max(self.total, done)
        self.heard()

    def heard(self) -> None:
        """Report again: the builder lives, and is told when it has lost its lease."""
        self.report(self.done, self.total)


@dataclass(slots=True)
class Rebuild:
    """One rebuild, by the holder of the space's lease."""

    source: VectorSource
    root: Path
    settings: BuildSettings
    fencing_token: int
    report: RebuildProgress

    def run(self) -> SnapshotRecord | None:
        """Publish a snapshot of everything committed, then one with its graph.

        Returns:
            The last one published; None when there is nothing.

        Raises:
            LeaseLost, StorageFull, SnapshotInvalid, Unavailable: see `publishing.publish`. What was
                published before stays.
        """
        db_epoch, change_seq = self.source.db_epoch(), self.source.current_seq()
        dimension, total = self.source.space.dimension, self.source.count_live()
        if not total:
            return None
        has_graph = self.settings.with_graph and total >= self.settings.hnsw_min_rows
        progress = _Progress(self.report, 2 * total if has_graph else total)
        parent = self.root / db_epoch
        with disk_errors():
            publishing.require_room(parent, total, dimension)
            draft = Draft(parent)
        about = {
            "format": FORMAT,
            "space": self.source.space.name,
            "dimension": dimension,
            "metric": METRIC,
            "faiss_version": faiss.__version__,
            "change_seq": change_seq,
            "db_epoch": db_epoch,
        }
        try:
            first = self._first_stage(draft, about, progress)
        except BaseException:
            draft.discard()
            raise
        if first is None or first.quantised is None or not self.settings.with_graph:
            return None if first is None else first.record
        return self._second_stage(first, parent, progress)

    def _first_stage(
        self, draft: Draft, about: dict[str, Any], progress: _Progress
    ) -> _Stage | None:
        with disk_errors():
            with VectorsFile(draft.folder / VECTORS, about["dimension"]) as file:
                rows = gather(self.source, about["change_seq"], file, progress.at)
            if rows is None:
                draft.discard()
                return None
            stage = self._quantised(file, draft, rows, progress.heard)
            for name, array in rows._asdict().items():
                draft.add_array(name, array)
        about = about | {"row_count": file.count, "last_id": int(rows.ids[-1])}
        about["graph_wanted"] = stage.quantised is not None and self.settings.with_graph
        manifest = about | self._described(stage)
        stage.record = publishing.publish(draft, manifest, None, self.source, self.fencing_token)
        file.path = draft.folder.with_suffix("") / VECTORS
        stage.about = about
        return stage

    def _quantised(
        self, file: VectorsFile, draft: Draft, rows: GatheredRows, heard: Callable[[], None]
    ) -> _Stage:
        """Make and measure the quantised form, if there is to be one, and write it with the canaries."""
        vectors = file.mapped()
        has_ways = file.count >= self.settings.hnsw_min_rows
        by_form = queries_by_form(vectors, file.dimension, self._texts() if has_ways else NO_TEXTS)
        draft.files[VECTORS] = {}
        chunks = file.summed_chunks(draft.files[VECTORS])
        with omp_threads(1):
            quantised = None
            if has_ways:
                quantised = QuantisedForm.for_file(file, self.settings.list_rows)
            else:
                by_form = {QueryForm.PICTURE: by_form[QueryForm.PICTURE]}
            answering = Answering(by_form, Halves.of(vectors, file.dimension), file.count)
            for first, chunk in chunks:
                if quantised is not None:
                    quantised.add(chunk)
                answering.take(first, chunk)
                heard()
            probes, sides = answering.answers()
            ways: list[WaySetting] = []
            measured = Costs()
            if quantised is not None:
                measured = costs.measured(vectors, quantised, None, probes[0].queries)
                limits = Limits(self.settings.recall_target, file.count, measured)
                ways = measured_scans(quantised, vectors, probes, sides, limits, heard)
                draft.add_index(QUANTISED, quantised.index)
                for name, part in zip(ROTATION, astuple(quantised.rotation), strict=True):
                    draft.add_array(name, part)
        count = CANARIES if file.count < MANY_ROWS else CANARIES_OF_MANY
        canaries = probes[0]
        draft.add_array("canary_queries", canaries.queries[:count])
        draft.add_array("canary_ids", rows.ids[canaries.rows[:count, :RECALL_RANK]])
        return _Stage(file, quantised, probes, ways, measured, draft)

    def _second_stage(self, first: _Stage, parent: Path, progress: _Progress) -> SnapshotRecord:
        rows = first.file.count
        graph = built_graph(
            first.file, lambda added: progress.at(rows + added), self.settings.threads
        )
        with omp_threads(1):
            walks = measured_walks(graph, first.probes, self.settings.recall_target, progress.heard)
            assert first.quantised is not None
            measured = costs.measured(
                first.file.mapped(), first.quantised, graph, first.probes[0].queries
            )
        with disk_errors():
            draft = Draft(parent)
            try:
                draft.share(first.file.path.parent, first.draft.files)
                draft.add_index(GRAPH, graph, faiss.IO_FLAG_SKIP_STORAGE)
            except BaseException:
                draft.discard()
                raise
        stage = _Stage(
            first.file, first.quantised, first.probes, [*first.ways, *walks], measured, draft
        )
        manifest = first.about | self._described(stage, walks)
        return publishing.publish(draft, manifest, graph, self.source, self.fencing_token)

    def _described(self, stage: _Stage, walks: Sequence[WaySetting] = ()) -> dict[str, Any]:
        """Return what a manifest says of what was built and measured."""
        planner = Planner(stage.file.count, tuple(stage.ways), stage.costs)
        kind = WITH_GRAPH if walks else WITHOUT_GRAPH if stage.ways else FLAT
        parameters: dict[str, Any] = {}
        if walks:
            beams = {one.form.value: one.setting for one in walks}
            parameters = {
                "hnsw_m": HNSW_M,
                "ef_construction": EF_CONSTRUCTION,
                "ef_search": beams,
            }
        return {
            "kind": kind,
            "parameters": parameters,
            "recall": recalls(stage.ways, self.settings.recall_target),
            "ways": [asdict(one) for one in stage.ways],
            "costs": stage.costs.as_dict(),
            "crossings": planner.crossings(MEASURED) if stage.ways else {},
        }

    def _texts(self) -> Matrix:
        return NO_TEXTS if self.settings.extra_queries is None else self.settings.extra_queries()


NO_TEXTS: Matrix = np.empty((0, 0), np.float32)


@dataclass(slots=True)
class _Stage:
    """The results of one stage."""

    file: VectorsFile
    quantised: QuantisedForm | None
    probes: list[Probes]
    ways: list[WaySetting]
    costs: Costs
    draft: Draft
    record: SnapshotRecord | None = None
    about: dict[str, Any] = field(default_factory=dict)


def recalls(ways: Sequence[WaySetting], target: float) -> dict[str, Any]:
    """Return what was measured, for people: by way and form, with the bound that was shown."""
    if not ways:
        return {"exact": 1.0}
    found: dict[str, Any] = {"k": RECALL_RANK, "target": target}
    for one in ways:
        if one.probes:
            found.setdefault(one.way.value, {})[one.form.value] = {
                "recall": one.recall,
                "at_least": one.recall_at_least,
                "queries": one.probes,
            }
    return found
