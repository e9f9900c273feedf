"""Verdicts on themes as arrays, read once and applied to any number of pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.verdicts import (
    VerdictRow,
    evidence_counts,
    evidence_rows,
    vectors_of_embeddings,
    waiting_copies,
)
from mirada.feedback.adaptive import NO_OPINION, Evidence, adapted_scores, affinity
from mirada.feedback.concepts import theme_vectors
from mirada.feedback.tilt import ShownLabels, shown_shares, tilted_scores
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import Floats
from mirada.kernel.themes import theme_key
from mirada.kernel.vector_cache import VectorCache
from mirada.runtime import Runtime

MOST_PER_THEME = 2_000
"""Verdicts of one theme that count: hundreds of people's, and 16 MB of theme vectors at most."""
MOST_IN_ALL = 20_000
"""Verdicts that one classification takes into account, over all its labels."""
CACHED_VECTORS = 8_192
"""Of 1,024 numbers each 32 MiB."""
SETS_REMEMBERED, MOST_REMEMBERED = 4, 2_000
"""Sets of names whose evidence is remembered, and most verdicts of one: 32 MiB at most in all."""
_Names = tuple[int, frozenset[str]]
"""A space and theme keys."""
_State = tuple[int, frozenset[tuple[int, int]]]
"""A change number, and who waits for which copy."""


def remembered_vectors(runtime: Runtime) -> VectorCache[tuple[int, int, int]]:
    """Return the theme vectors that this process remembers, by space, embedding and checksum."""
    return runtime.remembered("theme_vectors", lambda: VectorCache(CACHED_VECTORS))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The mapping from pictures of a space to theme vectors.

    Attributes:
        space_id: the row of the pictures' space.
        dimension: of that space.
        concepts: (w, d) float32, `feedback.concepts.CONCEPTS` in that space.
        cache: by space, embedding and checksum, of these concepts; None computes every vector
            afresh.
    """

    space_id: int
    dimension: int
    concepts: Matrix = field(repr=False)
    cache: VectorCache[tuple[int, int, int]] | None = field(default=None, repr=False)

    def theme_vectors(self, pictures: Matrix) -> Matrix:
        """Return (n, e) float32 unit rows for (n, d) pictures."""
        return theme_vectors(pictures, self.concepts)


@dataclass(frozen=True, slots=True)
class Learned:
    """The evidence that people gave on some themes.

    Attributes:
        vocabulary: of the evidence.
        evidence: by theme key; themes nobody judged are absent.
        verdict_ids: by theme key, the verdict behind each row of its evidence.
    """

    vocabulary: Vocabulary
    evidence: Mapping[str, Evidence]
    verdict_ids: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Adapted:
    """A picture's scores in force, and how it stands to the theme that was asked about.

    Attributes:
        scores: (n,) float64 that sum to 1; the encoder's own where nobody judged any label.
        theme_affinity: what people's verdicts alone say, in [0, 1], more is nearer: a prior of 0.5
            also for a label, so that themes compare. 0.5 where nobody judged it; None if no theme
            was asked about.
        theme_verdicts: how many verdicts that rests on.
    """

    scores: Floats
    theme_affinity: float | None
    theme_verdicts: int


class RememberedEvidence:
    """The evidence on some sets of names, with the change number at which it was so. Thread-safe.

    Verdicts given, changed and taken back, and vectors and images that come and go, take a number of the
    change counter. Who still waits for a copy is asked each time: a picture that fails takes none.
    """

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._lock = threading.Lock()
        self._known: OrderedDict[_Names, tuple[_State, Learned]] = OrderedDict()

    def of(self, session: Session, names: Iterable[str], vocabulary: Vocabulary) -> Learned:
        """Return `evidence_for`, from memory while nothing has changed."""
        wanted = (vocabulary.space_id, frozenset(theme_key(name) for name in names))
        # Read first: what is found afterwards is at least as new as this number.
        change_seq = changes.current_seq(session)
        state = (change_seq, frozenset(waiting_copies(session, vocabulary.space_id)))
        with self._lock:
            known = self._known.get(wanted)
        if known is not None and known[0] == state:
            return known[1]
        learned = evidence_for(session, wanted[1], vocabulary)
        if sum(map(len, learned.evidence.values())) <= MOST_REMEMBERED:
            with self._lock:
                self._known[wanted] = (state, learned)
                self._known.move_to_end(wanted)
                while len(self._known) > SETS_REMEMBERED:
                    self._known.popitem(last=False)
        return learned


def remembered_evidence(runtime: Runtime) -> RememberedEvidence:
    """Return the evidence that this process remembers."""
    return runtime.remembered("evidence", RememberedEvidence)


def evidence_for(session: Session, names: Iterable[str], vocabulary: Vocabulary) -> Learned:
    """Return what people said of these labels or themes, of pictures anybody has.

    At most MOST_PER_THEME verdicts each and about MOST_IN_ALL together, everybody's newest first.

    Args:
        session: for reading.
        names: labels or themes, in the form of `normalised_name`.
        vocabulary: of the space whose vectors are compared.
    """
    counts = evidence_counts(session, {theme_key(name) for name in names}, vocabulary.space_id)
    rows = evidence_rows(session, counts, vocabulary.space_id, _per_theme(list(counts.values())))
    vectors = _theme_vectors(session, rows, vocabulary)
    by_theme: dict[str, list[VerdictRow]] = {}
    for row in rows:
        if row.embedding_id in vectors:
            by_theme.setdefault(row.theme, []).append(row)
    evidence = {
        theme: Evidence(
            np.stack([vectors[row.embedding_id] for row in judged]),
            np.array([row.accepted for row in judged], dtype=bool),
            np.array([row.user_id for row in judged], dtype=np.int64),
        )
        for theme, judged in by_theme.items()
    }
    ids = {theme: [row.id for row in judged] for theme, judged in by_theme.items()}
    return Learned(vocabulary, evidence, ids)


def adapted(
    labels: Sequence[str],
    clip_scores: Floats,
    picture: Vector,
    learned: Learned,
    alpha: float,
    *,
    theme: str | None = None,
    shown: ShownLabels | None = None,
) -> Adapted:
    """Return a picture's scores as moved by what people said of the labels, and of a theme.

    Args:
        labels: n names in the form of `normalised_name`.
        clip_scores: (n,) the encoder's probabilities.
        picture: (d,) float32, unit norm, in the vocabulary's space.
        learned: of these labels, and of the theme.
        alpha: ADAPTIVE_ALPHA.
        theme: what else to tell the affinity to; a label or any other name.
        shown: `shown_labels` of the theme.
    """
    keys = [theme_key(label) for label in labels]
    judged = {
        position: learned.evidence[key]
        for position, key in enumerate(keys)
        if key in learned.evidence
    }
    about = None if theme is None else learned.evidence.get(theme_key(theme))
    no_opinion = None if theme is None else NO_OPINION
    if not judged and about is None:
        return Adapted(np.array(clip_scores, dtype=np.float64), no_opinion, 0)
    profile = learned.vocabulary.theme_vectors(picture.reshape(1, -1))[0]
    scores = adapted_scores(clip_scores, profile, judged, alpha)
    if shown is not None:
        scores = tilted_scores(scores, profile, shown, alpha)
    if about is None:
        return Adapted(scores, no_opinion, 0)
    return Adapted(scores, affinity(profile, about), len(about))


def shown_labels(
    learned: Learned, theme: str | None, labels: Sequence[str], see: Callable[[Matrix], Floats]
) -> ShownLabels | None:
    """Return which labels the judged pictures of a theme show; None for a label, and without verdicts.

    Args:
        learned: of the theme.
        theme: what is asked about; None for nothing.
        labels: n names in the form of `normalised_name`.
        see: returns the (m, n) probabilities of the encoder for (m, d) unit pictures.
    """
    said = None if theme is None else learned.evidence.get(theme_key(theme))
    if theme is None or said is None or theme_key(theme) in map(theme_key, labels):
        return None
    # The picture itself is the first half of its theme vector.
    pictures = said.vectors[:, : learned.vocabulary.dimension]
    pictures = pictures / np.linalg.norm(pictures, axis=1, keepdims=True)
    return ShownLabels(said, shown_shares(see(pictures)))


def _per_theme(counts: Sequence[int]) -> int:
    """Return how many verdicts of each theme fit into MOST_IN_ALL, at most MOST_PER_THEME."""
    fits, too_many = 0, MOST_PER_THEME + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if sum(min(count, middle) for count in counts) <= MOST_IN_ALL:
            fits = middle
        else:
            too_many = middle
    return fits


def _theme_vectors(
    session: Session, rows: Sequence[VerdictRow], vocabulary: Vocabulary
) -> dict[int, Vector]:
    """Return theme vectors by embedding id; those of damaged embeddings are left out."""
    keys = {row.embedding_id: (vocabulary.space_id, row.embedding_id, row.crc32) for row in rows}
    cache = vocabulary.cache
    known = {} if cache is None else cache.get(keys.values())
    missing = sorted(each for each, key in keys.items() if key not in known)
    pictures = vectors_of_embeddings(session, missing, vocabulary.dimension)
    if pictures:
        made = vocabulary.theme_vectors(np.stack(list(pictures.values())))
        computed = {keys[each]: vector for each, vector in zip(pictures, made, strict=True)}
        known |= computed
        if cache is not None:
            cache.put(computed)
    return {each: known[key] for each, key in keys.items() if key in known}
