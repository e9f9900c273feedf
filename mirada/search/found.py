"""The finds of a search: rankings of image ids, and results with their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from mirada.kernel.composing import Spread, spread_of
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import WEAK_FROM, Verdict, verdict
from mirada.pictures.shown_images import ShownImage
from mirada.ports import SearchAnswer
from mirada.search.explanation import Explained

MAX_K = 1000
"""Most results of one search: a reply of 1,000 images is about half a megabyte."""


@dataclass(frozen=True, slots=True)
class FoundBy:
    """One source's part in a result.

    Attributes:
        source: its name.
        rank: from 1, the best.
        similarity: cosine; None for words.
        relevance: in [0, 1]; of words 1 for an image that has every one, else 0.
    """

    source: str
    rank: int
    similarity: float | None
    relevance: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One place of a ranking.

    Attributes:
        image_id: an image that the viewer may see.
        similarity: cosine of the picture, or of the one space that was searched; None where that
            did not find it.
        relevance: in [0, 1]: of that similarity where one space was searched; else by what all
            sources say, see `verdict.fused_relevance`.
        score: of the fusion, comparable within one ranking; None where one space was searched.
        found_by: the sources that found it, in their order; empty where one space was searched.
        collapsed_count: how many more images it stands for; None where every image is shown.
    """

    image_id: int
    similarity: float | None
    relevance: float
    score: float | None = None
    found_by: Sequence[FoundBy] = ()
    collapsed_count: int | None = None

    @property
    def is_relevant(self) -> bool:
        """Whether it is more likely what was asked for than not."""
        return self.relevance >= WEAK_FROM


@dataclass(frozen=True, slots=True)
class Searched:
    """How one vector source was searched.

    Attributes:
        way: how its index computed the answer.
        permitted_count: how many vectors it ran over.
        ef_search, depth, candidates: as `ports.SearchPlan` has them.
        background: of the query's cosines with a sample: their centre and standard deviation.
        background_count: how large the sample was.
    """

    way: str
    permitted_count: int
    ef_search: int | None = None
    depth: int | None = None
    candidates: int = 0
    background: Spread | None = None
    background_count: int = 0

    @classmethod
    def of(cls, answer: SearchAnswer) -> Self:
        """Return how an index answered."""
        plan = answer.plan
        return cls(
            str(plan.way),
            answer.permitted_count,
            plan.ef_search,
            plan.depth,
            plan.candidates,
            spread_of(answer.background),
            len(answer.background),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of a whole ranking, for its pages, which do not have all its hits."""

    verdict: Verdict
    relevant_count: int


NOTHING_FOUND = Judged(Verdict.NOTHING, 0)


def judged_by(hits: Sequence[Hit]) -> Judged:
    """Return the judgement of all the hits of a ranking."""
    return Judged(verdict(hit.relevance for hit in hits), sum(hit.is_relevant for hit in hits))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Everything that was ranked for one question, best first, ties by image id.

    Attributes:
        hits: to the depth that was asked for, or all there are.
        way: how it was computed: an index's way, or `queries.FUSED`.
        permitted_count: how many vectors the viewer's search ran over; of several sources the most;
            None where no vectors were searched, but words.
        change_seq: the state of the database that the stalest index reflects; None where no index
            was asked.
        reason: why there are fewer hits than asked for; None when there are enough.
        searched: vector source -> how it was searched.
        left_out: source -> why it could not be searched.
        weights: source -> weight, of those that were asked for, where several were fused.
        space: name of the one space that was searched; None where several sources were fused.
        judged: of all hits, where those of one page are here; None where all are.
    """

    hits: Sequence[Hit]
    way: str
    permitted_count: int | None
    change_seq: int | None
    reason: str | None
    searched: Mapping[str, Searched] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    space: str | None = None
    judged: Judged | None = None

    @property
    def verdict(self) -> Verdict:
        """The judgement by the best relevance of all that was ranked."""
        if self.judged is not None:
            return self.judged.verdict
        return verdict(hit.relevance for hit in self.hits)

    @property
    def relevant_count(self) -> int:
        """The number of hits that are relevant: of all that was ranked, shown or not."""
        if self.judged is not None:
            return self.judged.relevant_count
        return sum(hit.is_relevant for hit in self.hits)


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One result: an image as the viewer is shown it, and its place."""

    image: ShownImage
    hit: Hit

    @property
    def similarity(self) -> float:
        """The cosine where one space was searched, in [-1, 1], higher is nearer; else of the picture.

        0 where what the picture shows did not find it.
        """
        return self.hit.similarity or 0.0

    @property
    def relevance(self) -> float:
        """The relevance, in [0, 1]; it is relevant from 0.5."""
        return self.hit.relevance

    @property
    def found_by(self) -> Sequence[FoundBy]:
        """The sources that found it; none where one space was searched."""
        return self.hit.found_by


@dataclass(frozen=True, slots=True)
class Found:
    """The results of one search, best first, and the ranking they are taken from.

    Attributes:
        results: at most k.
        ranking: what was ranked, and how.
        reason: why there are fewer than k results; None when there are k.
        cursor: of the next page; None where there is none, or nobody pages.
        ranked_count: how many images are ranked for all pages together; None while that is not known.
        explained: how it came about; None where nobody asked.
    """

    results: list[FoundImage]
    ranking: Ranking
    reason: str | None
    cursor: str | None = None
    ranked_count: int | None = None
    explained: Explained | None = None

    @property
    def verdict(self) -> Verdict:
        """The judgement of whether anything that was ranked is relevant."""
        return self.ranking.verdict

    @property
    def way(self) -> str:
        """The way the answer was computed: an index's, or `queries.FUSED`."""
        return self.ranking.way

    @property
    def permitted_count(self) -> int | None:
        """The number of vectors that the viewer's search ran over; None where no vectors were searched."""
        return self.ranking.permitted_count

    @property
    def change_seq(self) -> int | None:
        """The state of the database that the answer reflects."""
        return self.ranking.change_seq

    @property
    def left_out(self) -> Mapping[str, str]:
        """The sources that could not be searched, each with the reason."""
        return self.ranking.left_out


def require_k(k: int) -> None:
    """Raise InvalidInput for a number of results that is out of range."""
    if not 1 <= k <= MAX_K:
        raise InvalidInput(
            f"The number of results must be between 1 and {MAX_K}.",
            fields={"limit": [f"Must be between 1 and {MAX_K}."]},
        )
