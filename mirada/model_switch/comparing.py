"""Compares two models on the library before one takes the other's place: results, time, memory, bytes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Select, false, select

from mirada.db.chunks import rows_in
from mirada.db.models import Embedding
from mirada.db.probe_texts import probe_texts
from mirada.db.stored_vectors import intact
from mirada.evaluation import evaluating
from mirada.evaluation.evaluating import Measured
from mirada.evaluation.judged_queries import judged_queries
from mirada.kernel import model_view
from mirada.kernel.embeddings import BLOB_DTYPE, Matrix, SpaceKind
from mirada.kernel.images import RgbImage
from mirada.kernel.intervals import Estimate
from mirada.kernel.model_view import ModelView
from mirada.runtime import Runtime

DEPTH = 10
PICTURES_ASKED = 32
"""Pictures that are asked with: so many of the newest, and so many drawn from all."""
TIMED = 12
"""Texts, and pictures, that are encoded one by one to measure how long one takes."""
SIDE_PX = 640
Check = Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Questions:
    """What both models are asked: texts, and contents by their own vectors."""

    texts: list[str]
    newest: list[int]
    drawn: list[int]

    @property
    def contents(self) -> list[int]:
        return [*self.newest, *self.drawn]


def compare(
    runtime: Runtime,
    now: ModelView,
    other: ModelView,
    check: Check,
    memory: int | None,
) -> dict[str, Any]:
    """Return what the other model would change, as JSON values.

    Every vector of both spaces is read once, and each query's ten nearest are exact.

    Args:
        runtime: of a process that has both encoders.
        now: the view in use.
        other: the view that would be.
        check: called between steps; what it raises ends the work.
        memory: bytes by which this process grew when it loaded the other model; None: not known.
    """
    asked = _questions(runtime, now, other)
    nearest = []
    for view in (now, other):
        check()
        nearest.append(_nearest(runtime, view, asked, check))
    overlaps = [
        len(set(one) & set(two)) / max(1, min(DEPTH, len(one), len(two)))
        for one, two in zip(*nearest, strict=True)
    ]
    texts, newest = len(asked.texts), len(asked.newest)
    return {
        "overlap_at_10": {
            "texts": _mean(overlaps[:texts]),
            "newest_pictures": _mean(overlaps[texts : texts + newest]),
            "sampled_pictures": _mean(overlaps[texts + newest :]),
            "queries": len(overlaps),
        },
        "evaluation": _evaluated(runtime, now, other, check),
        "now": _costs(runtime, now, asked.texts, check),
        "then": _costs(runtime, other, asked.texts, check) | {"memory_bytes": memory},
    }


def _evaluated(
    runtime: Runtime, now: ModelView, other: ModelView, check: Check
) -> dict[str, Any] | None:
    """Return what people's own judged queries say of both models; None where there are none."""
    with runtime.reading() as session:
        queries = judged_queries(session)
    if not queries:
        return None

    def report(_done: int, _total: int | None) -> None:
        check()

    old, new = (_measured(runtime, view) for view in (now, other))
    found = evaluating.compare(runtime, old, new, queries, report)
    before, after = found.before.overall, found.after.overall
    if before is None or after is None:
        return None
    return {
        "queries": before.queries,
        "ndcg_at_10_now": round(before.ndcg.value, 4),
        "ndcg_at_10_then": round(after.ndcg.value, 4),
        "recall_at_10_now": round(before.recall.value, 4),
        "recall_at_10_then": round(after.recall.value, 4),
        "ndcg_at_10_change": _interval(found.ndcg_change),
    }


def _measured(runtime: Runtime, view: ModelView) -> Measured:
    with model_view.working_in(view):
        return Measured(view.spaces[SpaceKind.IMAGE], runtime.encoder)


def _interval(estimate: Estimate | None) -> list[float] | None:
    if estimate is None:
        return None
    return [round(each, 4) for each in (estimate.low, estimate.value, estimate.high)]


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None


def _questions(runtime: Runtime, now: ModelView, other: ModelView) -> _Questions:
    with runtime.reading() as session:
        texts = probe_texts(session)
        both = select(Embedding.content_id).where(
            Embedding.space_id == now.image_space_id,
            Embedding.is_deleted == false(),
            Embedding.content_id.in_(
                select(Embedding.content_id).where(
                    Embedding.space_id == other.image_space_id, Embedding.is_deleted == false()
                )
            ),
        )
        newest = _ids(session.execute(both.order_by(Embedding.id.desc()).limit(PICTURES_ASKED)))
        # The checksum of a vector is as good as a die, and falls the same way each time.
        drawn = _ids(
            session.execute(_without(both, newest).order_by(Embedding.crc32).limit(PICTURES_ASKED))
        )
    return _Questions(texts, newest, drawn)


def _ids(result: Any) -> list[int]:
    return list(result.scalars())


def _without(query: Select[int], ids: Sequence[int]) -> Select[int]:
    return query.where(Embedding.content_id.not_in(ids))


def _nearest(runtime: Runtime, view: ModelView, asked: _Questions, check: Check) -> list[list[int]]:
    """Return the contents of each query's DEPTH nearest, without the picture that asks."""
    space_id = view.spaces[SpaceKind.IMAGE]
    source = runtime.vector_source(space_id)
    with model_view.working_in(view):
        queries = [runtime.encoder.encode_texts(asked.texts)] if asked.texts else []
    queries.append(_vectors(runtime, space_id, source.space.dimension, asked.contents))
    matrix = np.concatenate(queries)
    ids = np.zeros((len(matrix), 0), np.int64)
    scores = np.zeros((len(matrix), 0), np.float32)
    for page in source.live_rows_through(source.current_seq()):
        check()
        ids = np.concatenate([ids, np.tile(page.ids, (len(matrix), 1))], axis=1)
        scores = np.concatenate([scores, matrix @ page.vectors.T], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : DEPTH + 1]
        ids = np.take_along_axis(ids, best, axis=1)
        scores = np.take_along_axis(scores, best, axis=1)
    with runtime.reading() as session:
        query = select(Embedding.id, Embedding.content_id)
        rows = rows_in(session, query, Embedding.id, np.unique(ids).tolist())
        content_of = {row.id: row.content_id for row in rows}
    asks = [None] * len(asked.texts) + asked.contents
    return [
        [content_of[each] for each in found if each in content_of and content_of[each] != own][
            :DEPTH
        ]
        for found, own in zip(ids.tolist(), asks, strict=True)
    ]


def _vectors(runtime: Runtime, space_id: int, dimension: int, contents: Sequence[int]) -> Matrix:
    with runtime.reading() as session:
        query = select(Embedding.content_id, Embedding.vector, Embedding.crc32).where(
            Embedding.space_id == space_id
        )
        rows = rows_in(session, query, Embedding.content_id, contents)
        found = {row.content_id: intact(row.vector, row.crc32, dimension) for row in rows}
    nothing = np.zeros(dimension, np.float32)
    vectors = [nothing if (v := found.get(each)) is None else v for each in contents]
    return np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32)


def _costs(runtime: Runtime, view: ModelView, texts: Sequence[str], check: Check) -> dict[str, Any]:
    """Return the model of a view, its milliseconds for one text and one picture, and its bytes."""
    rng = np.random.default_rng(1)
    picture: RgbImage = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    source = runtime.vector_source(view.spaces[SpaceKind.IMAGE])
    with model_view.working_in(view):
        encoder = runtime.encoder.interactive()
        by_text = [_ms(check, partial(encoder.encode_texts, [text])) for text in texts[:TIMED]]
        by_picture = [_ms(check, partial(encoder.encode_images, [picture])) for _ in range(TIMED)]
    vectors = source.count_live()
    return {
        "model": source.space.model,
        "dimension": source.space.dimension,
        "vectors": vectors,
        "vector_bytes": vectors * source.space.dimension * BLOB_DTYPE.itemsize,
        "text_ms": _median(by_text),
        "picture_ms": _median(by_picture),
    }


def _ms(check: Check, work: Callable[[], object]) -> float:
    check()
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None
