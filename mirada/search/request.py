"""Search requests: what is asked for, as one value, whoever asks and however it came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirada.kernel.audience import Scope
from mirada.kernel.errors import InvalidInput
from mirada.kernel.ids import in_range
from mirada.kernel.signs import read_signs
from mirada.search.asked import Asked
from mirada.search.choice import PLAIN, Choice
from mirada.search.found import require_k
from mirada.search.queries import ALL, QueryKind, Source

DEFAULT_WEIGHTS: Mapping[str, float] = dict.fromkeys(Source, 1.0)
"""All sources alike; measured by `python -m benchmarks.fusion`."""

WEIGHTS_OF: Mapping[str, Mapping[str, float]] = {
    ALL: DEFAULT_WEIGHTS,
    Source.CAPTIONS: {Source.CAPTIONS: 1.0},
    Source.KEYWORDS: {Source.KEYWORDS: 1.0},
}
"""What is asked where somebody looks in one of these; the other sources are searched without fusing."""
MAX_PARTS = 16
"""Of one query."""
NOTHING_WANTED = (
    "The query only says what is not wanted; add a part with a weight above 0, or a word without a "
    "minus."
)
TEXT_ALONE = "Only a text is looked for there; send `text`, or search what pictures show."
NO_TEXT_WANTED = "Words are looked for there; add a text with a weight above 0."


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A received picture, of which nothing is kept.

    Attributes:
        path: of the file.
        declared_media_type: as the client sent it; None for no claim.
    """

    path: Path
    declared_media_type: str | None


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture that the caller keeps to ask with; see `query_pictures`."""

    id: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a query: more like this, or less.

    Attributes:
        kind: what the value is.
        value: a text, an image's id, numbers, or a received or kept picture, by the kind.
        weight: how much it counts beside other parts; below 0 for less like this. Never 0.
    """

    kind: QueryKind
    value: str | int | list[float] | SentPicture | KeptPicture
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search.

    Attributes:
        parts: at least one.
        asked: who asks, and how fresh the answer has to be.
        k: most results, 1 to MAX_K.
        source: the one space that is searched, pictures or prompts, where `weights` is None.
        weights: source -> weight, at least one > 0: these are asked and their rankings fused.
        threshold: least cosine similarity for a vector source to have found an image; None for no cut.
        choice: which of the hits are shown, and in which order.
        explain: whether the answer says how it came about.
        wait_s: how long each source's model is waited for while it is being loaded; None for as long
            as a request usually waits.
    """

    parts: tuple[Part, ...]
    asked: Asked
    k: int
    source: Source = Source.PICTURES
    weights: Mapping[str, float] | None = None
    threshold: float | None = None
    choice: Choice = PLAIN
    explain: bool = False
    wait_s: float | None = None

    def __post_init__(self) -> None:
        """Check what no flow could answer.

        Raises:
            InvalidInput: k is out of range, or the sources that are fused cannot be asked this.
        """
        require_k(self.k)
        if all(part.weight < 0 for part in self.parts):
            raise InvalidInput(NOTHING_WANTED, fields={"query": [NOTHING_WANTED]})
        if self.weights is not None and not self.words:
            raise InvalidInput(TEXT_ALONE if len(self.parts) == 1 else NO_TEXT_WANTED)

    @property
    def scope(self) -> Scope:
        """The images that are searched."""
        return self.asked.scope

    @property
    def texts(self) -> Mapping[int, Part]:
        """The parts that are texts, by their place."""
        kinds = enumerate(self.parts)
        return {place: part for place, part in kinds if part.kind is QueryKind.TEXT}

    @property
    def words(self) -> str:
        """The texts that are wanted, one behind the other; empty for none."""
        return " ".join(str(part.value) for part in self.texts.values() if part.weight > 0)

    @property
    def unwanted_words(self) -> Sequence[str]:
        """The texts that are not wanted."""
        return [str(part.value) for part in self.texts.values() if part.weight < 0]

    @property
    def made_from(self) -> QueryKind:
        """The origin of the query, for the metric of searches."""
        return self.parts[0].kind if len(self.parts) == 1 else QueryKind.MIXED

    @property
    def named_image_ids(self) -> frozenset[int]:
        """The stored images that are asked with. They are no results: they are no news.

        A number that no image can have is none: where only texts are compared, nobody looks it up.
        """
        kinds = (part for part in self.parts if part.kind is QueryKind.IMAGE_ID)
        numbers = (part.value for part in kinds if isinstance(part.value, int))
        return frozenset(number for number in numbers if in_range(number))


def parts_of_signs(text: str) -> tuple[Part, ...]:
    """Return the parts of a text with signs: `cat -dog "red hat"`.

    Raises:
        InvalidInput: its signs cannot be read, or it has more than MAX_PARTS parts.
    """
    found = read_signs(text)
    if len(found) > MAX_PARTS:
        message = (
            f"Phrases and words with a minus are parts of the query; this has {len(found)} parts and "
            f"may have {MAX_PARTS}."
        )
        raise InvalidInput(message, fields={"text": [message]})
    return tuple(Part(QueryKind.TEXT, each.text, 1.0 if each.is_wanted else -1.0) for each in found)


def of_text(text: str, asked: Asked, weights: Mapping[str, float], k: int) -> SearchRequest:
    """Return the search of several sources for one text."""
    part = Part(QueryKind.TEXT, text)
    return SearchRequest((part,), asked, k, weights=weights)
