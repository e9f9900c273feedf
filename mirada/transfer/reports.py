"""The report of an import: what came, what was there, what did not come and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mirada.transfer.records import Refused
from mirada.transfer.runs import MOST_REFUSALS, Counts
from mirada.transfer.vectors import Agreement

MOST_TOLD = 10_000
"""Refused rows that a report names; the others are counted. It keeps memory bounded."""


@dataclass(slots=True)
class TransferReport:
    """Progress and outcome of an import; taken + already_there + refused rows are all that were read.

    Attributes:
        source: the import's name.
        is_dry: nothing was written; `taken` is what would be.
        taken: images, or remembered pictures, that came.
        already_there: rows that an earlier run had brought.
        refused: rows that were not taken, the first MOST_TOLD of them.
        refused_count: of all of them.
        vectors_taken: pictures whose vectors came along; they are not embedded again.
        marks_taken: likes, comments and verdicts.
        marks_left_out: those whose people are not here, or whose texts cannot be kept.
        people_made: users that were created.
        expansions_taken: expansions of labels.
        packs_taken, packs_there: packs of an export that came, or that an earlier run had brought.
        agreement: how the vectors compare with ours; None where none came, or none was compared.
        is_complete: every row was read.
    """

    source: str
    is_dry: bool = False
    taken: int = 0
    already_there: int = 0
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    vectors_taken: int = 0
    marks_taken: int = 0
    marks_left_out: int = 0
    people_made: int = 0
    expansions_taken: int = 0
    packs_taken: int = 0
    packs_there: int = 0
    agreement: Agreement | None = None
    is_complete: bool = False

    def refuse(self, entry: Refused) -> None:
        """Note a row that is not taken."""
        self.refused_count += 1
        if len(self.refused) < MOST_TOLD:
            self.refused.append(entry)

    def counts(self, more: int = 0) -> Counts:
        """Return how far it is, once `more` rows are taken."""
        return Counts(
            self.done + more,
            self.taken + more,
            self.already_there,
            self.refused_count,
            [entry.to_json() for entry in self.refused[:MOST_REFUSALS]],
        )

    @property
    def done(self) -> int:
        """The number of rows that were looked at."""
        return self.taken + self.already_there + self.refused_count

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "source": self.source,
            "dry_run": self.is_dry,
            "is_complete": self.is_complete,
            "taken": self.taken,
            "already_there": self.already_there,
            "refused": self.refused_count,
            "vectors_taken": self.vectors_taken,
            "to_embed": self.taken - self.vectors_taken,
            "marks_taken": self.marks_taken,
            "marks_left_out": self.marks_left_out,
            "people_made": self.people_made,
            "expansions_taken": self.expansions_taken,
            "packs_taken": self.packs_taken,
            "packs_already_there": self.packs_there,
            "vectors_compared": None if self.agreement is None else self.agreement.to_json(),
            "refusals": [entry.to_json() for entry in self.refused],
        }

    def summary(self) -> str:
        """Return the counts as sentences for people."""
        verb = "would be imported" if self.is_dry else "imported"
        told = [
            f"{self.taken:,} {verb}, {self.already_there:,} already there, "
            f"{self.refused_count:,} refused."
        ]
        if self.vectors_taken:
            told.append(f"{self.vectors_taken:,} brought their vectors.")
        if self.taken > self.vectors_taken:
            told.append(f"{self.taken - self.vectors_taken:,} are to be embedded.")
        if self.marks_taken:
            told.append(f"{self.marks_taken:,} likes, comments and verdicts came along.")
        if self.marks_left_out:
            told.append(
                f"{self.marks_left_out:,} likes, comments and verdicts were left out: their people are "
                "not here (--create-users makes them), or their texts cannot be kept."
            )
        if self.people_made:
            told.append(f"{self.people_made:,} users were created.")
        if self.packs_taken:
            told.append(f"{self.packs_taken:,} packs came along.")
        if self.expansions_taken:
            told.append(f"{self.expansions_taken:,} expansions of labels came along.")
        return " ".join(told)
