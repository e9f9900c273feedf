"""What an import is asked to do: the source that is read, and how it is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mirada.transfer.records import Record, Refused


class Counted(Protocol):
    """A source that can be counted."""

    @property
    def name(self) -> str:
        """The name of the source, as `images.external_source` has it."""

    def count(self) -> int | None:
        """Return how many pictures there are; None where only reading them all could tell."""


class Source(Counted, Protocol):
    """A place that pictures come from."""

    @property
    def keeps_names(self) -> bool:
        """Whether its clients ask for files by their names."""

    def records(self) -> Iterator[Record | Refused]:
        """Yield what there is, in one order every time, in bounded memory."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How an import is to be done.

    Attributes:
        owner_id: of whoever gets what names no owner.
        keeps_owners: false gives that owner everything.
        creates_people: whether people who are not here are made.
        is_public: for what does not say.
        vectors_are: the model that the vectors are said to be of; None embeds every picture here.
        is_compared: whether a sample is embedded again and compared.
        is_dry: nothing is written.
        reads_metadata: whether to read what generators wrote into the files.
    """

    owner_id: int
    keeps_owners: bool = True
    creates_people: bool = False
    is_public: bool = False
    vectors_are: str | None = None
    is_compared: bool = True
    is_dry: bool = False
    reads_metadata: bool = True
