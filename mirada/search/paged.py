"""Rankings and pages of them as values, and what a kind of search does with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sqlalchemy.orm import Session

from mirada.search.found import Hit

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Everything that was ranked for a question.

    Attributes:
        hits: best first.
        about: what is said of them as a whole.
        is_cut: there may be more, which is not ranked.
    """

    hits: Sequence[Hit]
    about: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[Result]):
    """One further page.

    Attributes:
        results: at most as many as asked for, and fewer only where there is no further page.
        question: what was asked.
        about: what is said of the ranking.
        limit: how many were asked for.
        ranked_count: how many images all pages have together, with the first.
        is_cut: there may be more, which is not ranked.
        cursor: of the next page; None for the last one.
    """

    results: list[Result]
    question: bytes
    about: str
    limit: int
    ranked_count: int
    is_cut: bool
    cursor: str | None


class Asking(Protocol[Result]):
    """A kind of search: what is done with its questions and hits."""

    def accepts(self, question: bytes) -> bool:
        """Return whether a question is of this kind, and the one that came with the cursor, if one did."""

    def rank(self, question: bytes, shown: Sequence[int]) -> Ranked:
        """Return everything that is ranked for a question whose first page showed these images."""

    def show(
        self, session: Session, question: bytes, hits: Sequence[Hit]
    ) -> list[tuple[int, Result]]:
        """Return what the caller may see now of hits, each with its image's id, in their order."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A kept ranking, of all pages but the first.

    Attributes:
        question: what was asked.
        places: all its hits, as `places.packed` has them.
        sources: that they are packed with.
        cursor_at: makes the cursor of the page that a position is on, from 0.
    """

    question: bytes
    places: bytes
    sources: Sequence[str]
    cursor_at: Callable[[int], str]
