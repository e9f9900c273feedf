"""Evidence as it would be if one person said something else of one picture; nothing is written for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirada.feedback.adaptive import Evidence
from mirada.kernel.embeddings import Vector

Opinion = bool | None
"""Of one person, on one picture and theme: it belongs, it does not, or nothing was said."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of somebody's opinion.

    Attributes:
        user_id: whose.
        content_id: of the picture.
        theme: a `theme_key`, of a label or not.
        before: what they said.
        after: what they say.
    """

    user_id: int
    content_id: int
    theme: str
    before: Opinion
    after: Opinion


@dataclass(frozen=True, slots=True)
class Ground:
    """The evidence on a theme without one person's verdict on one picture.

    Attributes:
        evidence: everybody's; None where nobody said anything else.
        picture: (e,) float32, the theme vector of that picture.
        user_id: whose verdict is left out.
    """

    evidence: Evidence | None
    picture: Vector
    user_id: int

    @classmethod
    def without(
        cls, evidence: Evidence | None, row: int | None, picture: Vector, user_id: int
    ) -> Ground:
        """Return the ground of evidence in which that verdict is a row; None: it is not in it."""
        if evidence is not None and row is not None:
            kept = np.arange(len(evidence)) != row
            evidence = Evidence(
                evidence.vectors[kept], evidence.accepted[kept], evidence.people[kept]
            )
        return cls(evidence if evidence is not None and len(evidence) else None, picture, user_id)

    def with_opinion(self, opinion: Opinion) -> Evidence | None:
        """Return the evidence with what the person says; None where nobody says anything."""
        if opinion is None:
            return self.evidence
        said = Evidence(
            self.picture.reshape(1, -1), np.array([opinion]), np.array([self.user_id], np.int64)
        )
        if self.evidence is None:
            return said
        return Evidence(
            np.concatenate([self.evidence.vectors, said.vectors]),
            np.concatenate([self.evidence.accepted, said.accepted]),
            np.concatenate([self.evidence.people, said.people]),
        )
