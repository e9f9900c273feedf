"""The wish of a search for which of its hits are shown, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Collapse(StrEnum):
    """The pictures that count as one, of which the best is shown: the tiers of duplicates.

    Each holds the one before. SAME_SUBJECT are those whose vectors are near as well.
    """

    SAME_FILE = "same_file"
    NEAR = "near"
    SAME_SUBJECT = "same_subject"

    @classmethod
    def _missing_(cls, value: object) -> Collapse | None:
        return cls.SAME_SUBJECT if value == FORMER_NAME else None


FORMER_NAME = "near_duplicate"
"""What SAME_SUBJECT was called before there were tiers: requests and cursors may still say so."""


class Order(StrEnum):
    """The order of results."""

    RELEVANCE = "relevance"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Choice:
    """The fate of a ranking's hits.

    Attributes:
        collapse: None shows every image.
        diversify: lambda of maximal marginal relevance, in [0, 1]; None keeps the order.
        newest_first: whether the newest of those that are relevant come first; the others come behind
            all of them, and keep their order.
    """

    collapse: Collapse | None = None
    diversify: float | None = None
    newest_first: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether hits are shown as they are ranked."""
        return self.collapse is None and self.diversify is None and not self.newest_first


PLAIN = Choice()
"""Every hit, as it is ranked."""
