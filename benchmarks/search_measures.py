"""Measures of the search benchmark: recall, latencies, and whether promises are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.search_engines import Engine, Search
from benchmarks.search_vectors import Collection, Mask
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import QueryForm

K = 10
TIE = 1e-6
"""Of two neighbours that are equally near within rounding, either one is right."""
ROUNDS = 5
"""Queries are asked in so many rounds, all engines in each, so that a busy moment hits them alike."""


@dataclass
class Figures:
    """One engine's answers to one set of queries.

    Attributes:
        recall: share of the true ten nearest that were found.
        p50_ms, p99_ms: of one query at a time, one thread.
        per_s: queries a second, likewise.
        short: answers with fewer than ten although ten were permitted.
    """

    recall: float
    p50_ms: float
    p99_ms: float
    per_s: float
    short: int


@dataclass
class Result:
    """A run: what was measured, and where.

    Attributes:
        rows: of the collection.
        machine: in words.
        load: of the last minute, before and after.
        seconds: it took.
        engines: by name: build, bytes, notes.
        all_rows: figures by engine and form.
        subsets: figures by engine and subset, of picture-like queries.
        permitted: rows in each subset.
    """

    rows: int
    machine: str
    date: str
    load: list[float]
    seconds: float = 0.0
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    all_rows: dict[str, dict[str, Figures]] = field(default_factory=dict)
    subsets: dict[str, dict[str, Figures]] = field(default_factory=dict)
    permitted: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


class Truth:
    """Cosines of the exact tenth neighbours, of all rows and of a subset."""

    def __init__(self, collection: Collection) -> None:
        """Compute them for all rows."""
        self._collection = collection
        self.of_form = {
            form: _tenth(queries, collection.vectors)
            for form, queries in collection.queries.items()
        }

    def within(self, queries: Matrix, mask: Mask) -> np.ndarray:
        """Return the tenth neighbours' cosines in a subset."""
        return _tenth(queries, self._collection.vectors[mask])


def measured(
    engines: Sequence[Engine], collection: Collection, subsets: Mapping[str, Mask], result: Result
) -> None:
    """Measure every engine on every form, and on every subset it can be filtered by."""
    truth = Truth(collection)
    for form, queries in collection.queries.items():
        found = _asked({e.name: e.search for e in engines}, queries, form, collection.vectors)
        for name, (ms, best) in found.items():
            result.all_rows.setdefault(name, {})[form.value] = _figures(
                ms, best, truth.of_form[form]
            )
    queries = collection.queries[QueryForm.PICTURE]
    for subset, mask in subsets.items():
        result.permitted[subset] = int(np.count_nonzero(mask))
        tenth = truth.within(queries, mask)
        searches = {e.name: e.within[subset] for e in engines if subset in e.within}
        found = _asked(searches, queries, QueryForm.PICTURE, collection.vectors)
        for name, (ms, best) in found.items():
            result.subsets.setdefault(name, {})[subset] = _figures(ms, best, tenth)


def _asked(
    searches: Mapping[str, Search], queries: Matrix, form: QueryForm, vectors: Matrix
) -> dict[str, tuple[list[float], list[np.ndarray]]]:
    """Ask every engine, in turns; return its times in ms and the cosines of what it found."""
    asked: dict[str, tuple[list[float], list[np.ndarray]]] = {n: ([], []) for n in searches}
    for search in searches.values():
        for query in queries[:3]:
            search(query, K, form)
    for chunk in np.array_split(np.arange(len(queries)), ROUNDS):
        for name, search in searches.items():
            times, cosines = asked[name]
            for number in chunk:
                began = time.perf_counter()
                rows = search(queries[number], K, form)
                times.append((time.perf_counter() - began) * 1e3)
                cosines.append(vectors[np.unique(rows)] @ queries[number])
    return asked


def _figures(ms: list[float], cosines: list[np.ndarray], tenth: np.ndarray) -> Figures:
    there = int(np.count_nonzero(np.isfinite(tenth[0])))
    hits = [
        min(there, int(np.count_nonzero(found >= floor[:there].min() - TIE)))
        for found, floor in zip(cosines, tenth, strict=True)
    ]
    return Figures(
        recall=round(sum(hits) / (there * len(hits)), 4),
        p50_ms=round(float(np.percentile(ms, 50)), 4),
        p99_ms=round(float(np.percentile(ms, 99)), 4),
        per_s=round(1e3 / float(np.mean(ms)), 1),
        short=sum(int(found.size < there) for found in cosines),
    )


def _tenth(queries: Matrix, vectors: Matrix) -> np.ndarray:
    """Return (q, 10) cosines of the nearest rows, best first; -inf where there are fewer."""
    best = np.full((len(queries), K), -np.inf)
    for start in range(0, len(vectors), 100_000):
        met = np.concatenate([best, queries @ vectors[start : start + 100_000].T], axis=1)
        best = -np.partition(-met, K - 1, axis=1)[:, :K]
    return -np.sort(-best, axis=1)


FLAT, OURS = "faiss flat", "ours"
PROMISED_ROWS = 100_000
"""Speeds are promised from so many on: a few thousand are compared in half a millisecond by anything."""


def promises(result: Result) -> list[tuple[bool, str]]:
    """Return what was promised of our engine in the process, with the figures, and whether it is kept."""
    flat, ours = result.all_rows[FLAT]["picture"], result.all_rows[OURS]
    picture = ours["picture"]
    kept = [
        (
            min(each.recall for each in ours.values()) >= 0.98,
            "recall@10 at least 0.98 for every form: "
            + ", ".join(f"{form} {each.recall:.4f}" for form, each in ours.items()),
        ),
        (
            sum(each.short for each in result.subsets[OURS].values()) == 0,
            "ten results wherever ten are permitted",
        ),
    ]
    for subset, each in result.subsets[OURS].items():
        permitted = result.permitted[subset]
        least = 1.0 if permitted <= 20_000 else 0.98
        kept.append(
            (each.recall >= least, f"recall@10 of {subset} ({permitted:,} rows): {each.recall:.4f}")
        )
    if result.rows < PROMISED_ROWS:
        return kept
    return [*kept, *_fast(flat, picture), *_filtered(result, flat.p50_ms), *_rebuilt(result)]


def _fast(flat: Figures, picture: Figures) -> list[tuple[bool, str]]:
    faster, tail = flat.p50_ms / picture.p50_ms, flat.p50_ms / picture.p99_ms
    is_found = picture.recall >= 0.99
    return [
        (
            faster >= 12 and is_found,
            f"p50 at most 1/12 of flat's at recall 0.99: 1/{faster:.1f} at {picture.recall:.4f}",
        ),
        (tail >= 5 and is_found, f"p99 at most 1/5 of flat's p50: 1/{tail:.1f}"),
    ]


def _filtered(result: Result, flat_ms: float) -> list[tuple[bool, str]]:
    kept = []
    for subset, each in result.subsets[OURS].items():
        bitmap = result.subsets[FLAT][subset].p50_ms / each.p50_ms
        if subset.startswith("1 %"):
            kept += [
                (
                    flat_ms / each.p50_ms >= 40,
                    f"{subset}: at most 1/40 of flat over all rows: 1/{flat_ms / each.p50_ms:.0f}",
                ),
                (
                    bitmap >= 1,
                    f"{subset}: no slower than flat and bitmap: {bitmap:.1f} times its speed",
                ),
            ]
        if subset.startswith("9 %"):
            kept.append((bitmap >= 1.5, f"{subset}: 1.5 times flat and bitmap: {bitmap:.1f} times"))
    return kept


def _rebuilt(result: Result) -> list[tuple[bool, str]]:
    published = result.engines[OURS]["notes"]["published"]
    said = ", ".join(f"{kind} after {cpu_s:.1f} s" for kind, cpu_s in published)
    first = published[0][1]
    most = 4 if result.rows <= 100_000 else 15 * result.rows / 1_000_000
    kept = [
        (first <= most, f"first form published after {most:g} s of processor time at most: {said}")
    ]
    if any(kind == "hnsw" for kind, _ in published):
        kept.append(
            (published[-1][1] <= 100, f"graph after at most 100 s: {published[-1][1]:.1f} s")
        )
    return kept
