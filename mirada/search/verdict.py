"""The relevance of what a search found: one number an image, on which every verdict rests.

One source is judged by its scale where a worker has measured it (`calibrating`), else by the query's own
background (`kernel.similarity.relevances`). Several sources are put together by `fused_relevance`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.calibration_models import Measured, measured_of, stamp_of
from mirada.db.models import Embedding
from mirada.db.stored_vectors import intact
from mirada.kernel.calibration import RIVAL_SHARE, Scale, blended
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import Floats, Match, QueryForm, relevances
from mirada.ports import SearchAnswer
from mirada.runtime import Runtime
from mirada.search.queries import Query, QueryKind, Source

VERSION = 1
"""Of the way of measuring; count up when it changes, and every space is measured again."""
KNOWN_FOR_S = 10.0
"""After so long a process looks whether a worker has measured again."""
AllMeasured = Mapping[tuple[int, QueryForm], Measured]
"""By space and form."""
MOST_REMEMBERED = 50_000
"""Best pictures whose best rival is remembered: 5 MB."""

SUREST = 1.0 - 1e-9
"""Relevances are kept this far from 0 and 1 where they are averaged, for their log-odds are infinite."""


class Judge:
    """The relevance of what one query finds in one space.

    Made by `Judges.of`. Used for one search.
    """

    def __init__(
        self,
        judges: Judges,
        scale: Scale | None = None,
        rivals: float = 0.0,
        otherwise: tuple[float, Judge] | None = None,
    ) -> None:
        """Keep what is known of the query.

        Args:
            judges: they know the rivals.
            scale: None where nothing was measured for such a query.
            rivals: how much of the best rival's score moves the limit.
            otherwise: another judge, and the cosine below which the best match is left to it.
        """
        self._judges, self._scale, self._rivals = judges, scale, rivals
        self._otherwise = otherwise

    def tells_apart(self, query: Query) -> bool:
        """Return whether the query's space was measured to tell finds from near misses, or not measured."""
        measured = self._judges.measured(query)
        return measured is None or measured.calibration.tells_apart

    @property
    def scale(self) -> Scale | None:
        """The scale of the query alone, whatever is found; None where nothing was measured for it."""
        return self._scale

    def relevances(
        self,
        session: Session,
        similarities: npt.ArrayLike,
        best: Match | None,
        answer: SearchAnswer,
    ) -> Floats:
        """Return the relevance of each cosine; one that is higher never has less.

        Args:
            session: for reading.
            similarities: cosines in [-1, 1].
            best: the best match that the viewer is shown; None for none.
            answer: of the index; its background tells relevance where nothing was measured.
        """
        if best is not None and self._otherwise and best.similarity < self._otherwise[0]:
            return self._otherwise[1].relevances(session, similarities, best, answer)
        if self._scale is None:
            return relevances(similarities, answer.background, answer.permitted_count)
        moved = self._rivals * self._judges.best_rival(session, best) if self._rivals else 0.0
        return self._scale.moved(moved).relevances(similarities)


class Judges:
    """The measurements of all spaces, as this process knows them. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        """Know nothing yet."""
        self._runtime = runtime
        self._lock = threading.Lock()
        self._stamp: Hashable = None
        self._measured: AllMeasured = {}
        self._best_rivals: dict[int, float] = {}
        self._read_again_at = 0.0

    def forget(self) -> None:
        """Look at the next search whether there is something new."""
        self._read_again_at = 0.0

    def of(self, query: Query) -> Judge:
        """Return the judge of a query.

        - A text among pictures: the limit moves up by RIVAL_SHARE of what the best thing's name
          describes the best picture with.
        - A picture: its limit is no lower than its nearness to a picture of nothing; a result must be
          nearer to it than plain colours and noise are.
        - A vector that was sent, of which nobody says what made it: among pictures it counts as a text
          where texts are nearer to it than the best picture is.
        - Several parts: `kernel.calibration.blended` of their scales.
        """
        measured = self._known()
        if query.form is QueryForm.BLEND:
            return self._of_parts(query, measured)
        judge = self._of_form(query, query.form, measured)
        text = measured.get((query.space_id, QueryForm.TEXT))
        if query.made_from is not QueryKind.VECTOR or text is None or text.rivals is None:
            return judge
        as_text = self._of_form(query, QueryForm.TEXT, measured)
        nearness = _highest(text.rivals, query.vector)
        return Judge(self, judge._scale, judge._rivals, (nearness, as_text))

    def measured(self, query: Query) -> Measured | None:
        """Return what was measured of such queries; None for nothing, or for a blend."""
        return self._measured.get((query.space_id, query.form))

    def _of_form(self, query: Query, form: QueryForm, measured: AllMeasured) -> Judge:
        known = measured.get((query.space_id, form))
        if known is None:
            return Judge(self)
        scale = known.calibration.scale
        if known.rivals is None:
            return Judge(self, scale)
        if form is QueryForm.TEXT:
            return Judge(self, scale, RIVAL_SHARE)
        return Judge(self, scale.raised_to(_highest(known.rivals, query.vector)))

    def _of_parts(self, query: Query, measured: AllMeasured) -> Judge:
        """Return the judge of a blend: it is the sum of its wanted parts, each less by its width."""
        wanted = [part for part in query.parts if part.weight > 0]
        known = [measured.get((query.space_id, part.form)) for part in wanted if part.form]
        if len(known) < len(wanted) or None in known:
            return Judge(self)
        shares = [part.weight / part.spread.width for part in wanted]
        length = float(np.linalg.norm(np.array(shares) @ np.stack([p.vector for p in wanted])))
        scales = [each.calibration.scale for each in known if each]
        by_text = sum(
            share for share, part in zip(shares, wanted, strict=True) if part.form is QueryForm.TEXT
        )
        scale = blended(list(zip(scales, shares, strict=True)), length)
        return Judge(self, scale, RIVAL_SHARE * by_text / length)

    def best_rival(self, session: Session, best: Match | None) -> float:
        """Return the cosine of the best picture with the thing that describes it best; remembered."""
        if best is None:
            return 0.0
        known = self._best_rivals
        if (cosine := known.get(best.id)) is None:
            cosine = self._read_best_rival(session, best.id)
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[best.id] = cosine
        return cosine

    def _read_best_rival(self, session: Session, embedding_id: int) -> float:
        row = session.execute(
            select(Embedding.space_id, Embedding.vector, Embedding.crc32).where(
                Embedding.id == embedding_id
            )
        ).one_or_none()
        vector = None if row is None else intact(row.vector, row.crc32)
        measured = None if row is None else self._measured.get((row.space_id, QueryForm.TEXT))
        if vector is None or measured is None or measured.rivals is None:
            return 0.0
        return _highest(measured.rivals, vector)

    def _known(self) -> AllMeasured:
        now = time.monotonic()
        # One thread looks; the others go on with what is known.
        if now >= self._read_again_at and self._lock.acquire(blocking=False):
            try:
                self._read_again_at = now + KNOWN_FOR_S
                with self._runtime.reading() as session:
                    stamp = stamp_of(session, VERSION)
                    if stamp != self._stamp:
                        self._measured = measured_of(session, VERSION)
                        self._stamp, self._best_rivals = stamp, {}
            finally:
                self._lock.release()
        return self._measured


def judges_of(runtime: Runtime) -> Judges:
    """Return what this process knows of the measured spaces."""
    return runtime.remembered("judges", lambda: Judges(runtime))


def judged(
    judge: Judge | None,
    session: Session,
    similarities: npt.ArrayLike,
    best: Match | None,
    answer: SearchAnswer,
) -> Floats:
    """Return what a judge says, as `Judge.relevances`; without one, what the background says."""
    if judge is None:
        return relevances(similarities, answer.background, answer.permitted_count)
    return judge.relevances(session, similarities, best, answer)


def _highest(rows: Matrix, vector: Vector) -> float:
    # A matrix product would wake a BLAS thread per core.
    return float(np.einsum("nd,d->n", rows, vector).max())


@dataclass(frozen=True, slots=True)
class Opinion:
    """The judgement of one source on one image.

    Attributes:
        source: its name.
        weight: how much it counts, > 0.
        relevance: in [0, 1]; of words 1 for an image that has every one, else 0.
        tells_apart: whether the source was measured to tell finds from near misses, or not measured.
    """

    source: Source
    weight: float
    relevance: float
    tells_apart: bool = True


def fused_relevance(opinions: Sequence[Opinion]) -> float:
    """Return the relevance of an image, in [0, 1], from what the sources say of it.

    1. An image whose prompt, caption and description have every word of the text is relevant: 1.
       Some of the words say nothing.
    2. Else, where the image has a caption, the caption decides. A source that tells absent things from
       present ones must not be overruled by one that cannot. Where captions were measured not to tell
       them apart, as in a language that the model reads badly, they are a source like the others.
    3. Else it is the mean of the log-odds of the others, weighted as the ranking is. The greatest
       would be wrong: of several sources one nearly always has some accident to show.

    A source without anything to compare, such as captions for an image without one, has no opinion
    and is not in `opinions`. Without any, relevance is 0.
    """
    by_words = [each for each in opinions if each.source is Source.KEYWORDS]
    if any(each.relevance >= 1.0 for each in by_words):
        return 1.0
    by_meaning = [each for each in opinions if each.source is not Source.KEYWORDS]
    by_caption = [
        each for each in by_meaning if each.source is Source.CAPTIONS and each.tells_apart
    ]
    if by_caption:
        return by_caption[0].relevance
    weight = sum(each.weight for each in by_meaning)
    if not weight:
        return 0.0
    if len(by_meaning) == 1:
        return by_meaning[0].relevance
    mean = sum(each.weight * _log_odds(each.relevance) for each in by_meaning) / weight
    return 1.0 / (1.0 + math.exp(-mean))


def _log_odds(relevance: float) -> float:
    kept = min(max(relevance, 1.0 - SUREST), SUREST)
    return math.log(kept / (1.0 - kept))
