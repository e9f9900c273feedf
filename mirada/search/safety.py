"""What NSFW_POLICY=hide keeps out of search results: judged from vectors, so nothing is stored.

A change of the threshold or of the prompts is in force at once, for every picture there is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from mirada.db.changes import IN_LIST_ROWS
from mirada.db.models import Embedding
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Matrix, Vector, from_blob
from mirada.kernel.errors import InvalidInput
from mirada.kernel.nsfw import nsfw_score
from mirada.kernel.similarity import cosines


@dataclass(frozen=True, slots=True)
class Safety:
    """By what a picture is judged unsafe in one space.

    Attributes:
        unsafe: (p, d) float32, unit rows: `kernel.nsfw.UNSAFE_PROMPTS`.
        safe: (p, d) float32, unit rows: `kernel.nsfw.SAFE_PROMPTS`.
        logit_scale: the model's own.
        threshold: least score that is unsafe.
    """

    unsafe: Matrix = field(repr=False)
    safe: Matrix = field(repr=False)
    logit_scale: float
    threshold: float

    def score(self, picture: Vector) -> float:
        """Return in [0, 1] how unsafe a picture is: (d,) float32, unit norm."""
        return nsfw_score(
            cosines(self.unsafe, picture), cosines(self.safe, picture), self.logit_scale
        )

    def shown(
        self, session: Session, rows: Sequence[Row[Any]], audience: Audience
    ) -> Sequence[Row[Any]]:
        """Return those of rows with `owner_id` and `content_id` that are the viewer's own or not unsafe."""
        others = {row.content_id for row in rows if row.owner_id != audience.viewer_id}
        unsafe = self.unsafe_contents(session, others)
        return [
            row
            for row in rows
            if row.owner_id == audience.viewer_id or row.content_id not in unsafe
        ]

    def unsafe_contents(self, session: Session, content_ids: Collection[int]) -> set[int]:
        """Return which of these contents show unsafe pictures; one with a damaged vector does."""
        ids, found = sorted(content_ids), set()
        for start in range(0, len(ids), IN_LIST_ROWS):
            rows = session.execute(
                select(Embedding.content_id, Embedding.vector, Embedding.crc32).where(
                    Embedding.content_id.in_(ids[start : start + IN_LIST_ROWS]),
                    Embedding.is_deleted.is_(False),
                )
            )
            for row in rows:
                try:
                    vector = from_blob(row.vector, row.crc32, self.unsafe.shape[1])
                except InvalidInput:
                    # What cannot be judged is not shown to strangers.
                    found.add(row.content_id)
                    continue
                if self.score(vector) >= self.threshold:
                    found.add(row.content_id)
        return found
