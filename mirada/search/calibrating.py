"""The measuring of what finds and near misses look like in each space, and the job that does it.

The questions are:

- **Texts, in every space**: the things of probe_things.json in three languages, each with its own items
  left out (`kernel.calibration.LeaveOneOut`).
- **Texts, where texts are searched**: the rarest words of a sample of the stored texts themselves. The
  text that has the words is a find by definition, in whatever language it is.
- **Pictures**: a sample of the stored pictures, each with itself left out, as finds; as near misses
  pictures that show nothing: plain colours, noise, gradients.

Nothing is told of any single image: medians and quantiles of hundreds of scores are kept.
"""

from __future__ import annotations

import functools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from mirada.captions.encoder import caption_encoder
from mirada.db import spaces
from mirada.db.calibration_models import Measured, replace_measured, vectors_then
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.stored_vectors import vectors_in
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.calibration import LeaveOneOut, Neighbours, calibration_of
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.kernel.images import RgbImage
from mirada.kernel.keywords import words_of_query
from mirada.kernel.similarity import Floats, QueryForm
from mirada.ports import TextEncoder, VectorRows
from mirada.runtime import Runtime
from mirada.search.verdict import VERSION, judges_of

logger = logging.getLogger(__name__)

CALIBRATE = "calibrate_relevance"
LEAST_VECTORS = 30
"""Fewer have no middle and no tail to speak of; the background of each query serves them."""
GROWTH = 1.2
"""A space is measured again when it has this many times as many vectors, or as few."""
MAX_VECTORS = 200_000
"""Of larger spaces the first so many are measured: 6 s of one core."""
SAMPLE = 256
"""Stored pictures, or texts, that are asked with."""
LONGEST_QUESTION = 4
"""Words of a question that is made from a stored text: people type few."""
COMMON_SHARE = 0.05
"""A word in more of the texts than this names no one of them."""
LANGUAGES = 3
"""Of probe_things.json; the first is English."""
STRANGER_SIDE_PX = 96
TEXTS_AT_ONCE = 64
"""More would fill the encoder's queue, and searches would be refused meanwhile."""

Progress = Callable[[int, int | None], None]


@functools.cache
def probe_things() -> tuple[tuple[str, str, str], ...]:
    """Return things that pictures may show, each in English, Portuguese and Spanish.

    Source: emojibase-data 17.0.0 (MIT), names only. Drawn by a seed; none of them is a thing of
    `benchmarks.verdict`.
    """
    path = Path(__file__).with_name("probe_things.json")
    return tuple((en, pt, es) for en, pt, es in json.loads(path.read_text(encoding="utf-8")))


def strangers() -> list[RgbImage]:
    """Return pictures that show nothing: plain colours, gradients, and noise in grains of six sizes."""
    side, rng = STRANGER_SIDE_PX, np.random.default_rng(1)
    colours = [
        (255, 255, 255), (0, 0, 0), (128, 128, 128), (220, 40, 40),
        (40, 160, 60), (50, 80, 200), (240, 220, 70), (230, 150, 200),
    ]  # fmt: skip
    plain = [np.full((side, side, 3), colour, np.uint8) for colour in colours]
    slope = np.linspace(0, 1, side)[:, np.newaxis, np.newaxis]
    gradients = [
        np.ascontiguousarray(((1 - slope) * one + slope * other).astype(np.uint8))
        for one, other in zip(plain, plain[3:] + plain[:3], strict=True)
    ]
    noise = []
    for grain in (1, 1, 4, 8, 16, 32):
        small = rng.integers(0, 256, (side // grain, side // grain, 3), dtype=np.uint8)
        noise.append(np.kron(small, np.ones((grain, grain, 1), np.uint8)))
    greys = rng.integers(0, 256, (2, side, side, 1), dtype=np.uint8)
    return [*plain, *gradients, *noise, *(np.repeat(grey, 3, axis=2) for grey in greys)]


def questions_of(texts: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return short questions that people might ask for these texts, each with the words it has.

    They are the rarest word of each text, and its runs of two to LONGEST_QUESTION rare words.
    """
    split = [words_of_query(text) for text in texts]
    shared = Counter(word for words in split for word in set(words))
    most = max(1.0, COMMON_SHARE * len(texts))
    asked: dict[str, frozenset[str]] = {}
    for words in split:
        longer = [word for word in words if len(word) >= 3]
        if longer:
            rarest = min(longer, key=lambda word: (shared[word], -len(word)))
            asked[rarest] = frozenset([rarest])
        run: list[str] = []
        for word in [*words, ""]:
            if word and shared[word] <= most and len(run) < LONGEST_QUESTION:
                run.append(word)
                continue
            if len(run) > 1:
                asked[" ".join(run)] = frozenset(run)
            run = [word] if word and shared[word] <= most else []
    return asked


def calibrate(runtime: Runtime, space_id: int, report: Progress = lambda done, total: None) -> bool:
    """Measure a space and keep what was found; return whether there was enough to measure.

    The whole space is read once. Searches of this process know the result at once, those of others
    within `verdict.KNOWN_FOR_S` seconds.

    Args:
        runtime: with the database and encoders.
        space_id: of the pictures, prompts or captions in use.
        report: called with vectors done and vectors in all; what it raises ends the work.

    Raises:
        Unavailable, BudgetReached, Conflict: the encoder of the space cannot be asked now.
    """
    with runtime.reading() as session:
        space = next(
            (row.to_space() for row in spaces.searched_spaces(session) if row.id == space_id), None
        )
    if space is None:
        return False
    vectors = runtime.vector_source(space_id).count_live()
    if vectors < LEAST_VECTORS:
        return False
    measure = _of_pictures if space.kind is SpaceKind.IMAGE else _of_texts
    measured = measure(runtime, space_id, space, report)
    with runtime.transaction() as session:
        replace_measured(session, space_id, measured, version=VERSION, vectors=vectors)
    judges_of(runtime).forget()
    return bool(measured)


def _of_pictures(
    runtime: Runtime, space_id: int, space: EmbeddingSpace, report: Progress
) -> dict[QueryForm, Measured]:
    encoder = runtime.encoder
    probes, things = _probes(encoder)
    rivals = probes[::LANGUAGES]
    by_text = LeaveOneOut(probes, things, rivals)
    nothing = encoder.encode_images(strangers())
    by_picture: Neighbours | None = None
    of_nothing = np.full(len(nothing), -1.0)
    for page in _pages(runtime, space_id, report):
        if by_picture is None:
            by_picture = Neighbours(page.ids[:SAMPLE].copy(), page.vectors[:SAMPLE].copy())
        by_text.add(page.vectors)
        by_picture.add(page.ids, page.vectors)
        of_nothing = np.maximum(of_nothing, (nothing @ page.vectors.T).max(axis=1))
    found = {}
    text = calibration_of(by_text.finds, by_text.near_misses)
    if text is not None:
        found[QueryForm.TEXT] = Measured(text, rivals)
    if by_picture is not None:
        picture = calibration_of(by_picture.best, of_nothing)
        if picture is not None:
            found[QueryForm.PICTURE] = Measured(picture, nothing)
    return found


def _of_texts(
    runtime: Runtime, space_id: int, space: EmbeddingSpace, report: Progress
) -> dict[QueryForm, Measured]:
    encoder = runtime.text_encoder if space.kind is SpaceKind.PROMPT else caption_encoder(runtime)
    finds = _own_finds(runtime, space_id, space, encoder)
    by_text = LeaveOneOut(*_probes(encoder))
    for page in _pages(runtime, space_id, report):
        by_text.add(page.vectors)
    text = calibration_of(finds, by_text.near_misses)
    return {} if text is None else {QueryForm.PICTURE: Measured(text)}


def _probes(encoder: TextEncoder) -> tuple[Matrix, npt.NDArray[np.int64]]:
    things = probe_things()
    texts = [name for names in things for name in names]
    return _encoded(encoder, texts), np.repeat(np.arange(len(things)), LANGUAGES)


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> Matrix:
    """Return (n, d), n > 0: a few texts at a time, so that others get their turns."""
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    return np.concatenate(
        [encoder.encode_texts(texts[start : start + TEXTS_AT_ONCE]) for start in starts]
    )


def _own_finds(
    runtime: Runtime, space_id: int, space: EmbeddingSpace, encoder: TextEncoder
) -> Floats:
    """Return the scores of questions made from stored texts with the best text that has their words."""
    with runtime.reading() as session:
        newest = (
            select(TextContent.id, TextContent.body)
            .join(TextEmbedding, TextEmbedding.text_id == TextContent.id)
            .where(TextEmbedding.space_id == space_id, TextEmbedding.is_deleted.is_(False))
            .order_by(TextContent.id.desc())
            .limit(SAMPLE)
        )
        bodies = {row.id: row.body for row in session.execute(newest)}
        stored = select(TextEmbedding.text_id, TextEmbedding.vector, TextEmbedding.crc32).where(
            TextEmbedding.space_id == space_id
        )
        vectors = vectors_in(session, stored, TextEmbedding.text_id, list(bodies), space.dimension)
    asked = questions_of([bodies[text_id] for text_id in vectors])
    if not asked:
        return np.empty(0)
    words = [frozenset(words_of_query(bodies[text_id])) for text_id in vectors]
    scores = _encoded(encoder, list(asked)) @ np.stack(list(vectors.values())).T
    has_words = np.array([[needed <= each for each in words] for needed in asked.values()])
    best = np.where(has_words, scores, -np.inf).max(axis=1)
    return np.asarray(best[np.isfinite(best)], dtype=np.float64)


def _pages(runtime: Runtime, space_id: int, report: Progress) -> Iterator[VectorRows]:
    source = runtime.vector_source(space_id)
    total, done = min(source.count_live(), MAX_VECTORS), 0
    for page in source.live_rows_through(source.current_seq()):
        yield page
        done += len(page.ids)
        report(min(done, total), total)
        if done >= MAX_VECTORS:
            return


def queue_due_calibrations(runtime: Runtime) -> None:
    """Queue the measuring of every searched space that has grown or shrunk enough, and ring for it."""
    with runtime.reading() as session:
        in_use = spaces.searched_spaces(session)
        before = {space.id: vectors_then(session, space.id, VERSION) for space in in_use}
    for space in in_use:
        now, then = runtime.vector_source(space.id).count_live(), before[space.id]
        if now < LEAST_VECTORS or (then is not None and then / GROWTH < now < then * GROWTH):
            continue
        with runtime.transaction() as session:
            job = ledger.enqueue(session, CALIBRATE, space_id=space.id)
        runtime.doorbell.ring(job.id, job.kind)


def calibrate_relevance(runtime: Runtime, attempt: Attempt) -> None:
    """Measure the job's space."""
    space_id = attempt.job.space_id
    if space_id is not None and calibrate(runtime, space_id, attempt.report):
        logger.info("Measured the relevance of scores in space %s", space_id)
    attempts.finish_alone(runtime, attempt)


KIND = Kind(CALIBRATE, calibrate_relevance, title="Measure what is relevant in this library")
