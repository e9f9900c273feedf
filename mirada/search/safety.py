"""Safety: keep others' unsafe pictures out of results under NSFW_POLICY=hide, judged from vectors.

A change of the threshold or of the prompts is in force at once, for every picture there is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Embedding, Image
from mirada.db.stored_vectors import intact
from mirada.embedding import label_vectors
from mirada.embedding.interactive import interactive_encoder
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, NsfwPolicy, nsfw_score
from mirada.kernel.similarity import cosines
from mirada.ports import CalibratedEncoder
from mirada.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Safety:
    """The prompts and the threshold that judge a picture unsafe in one space.

    Attributes:
        unsafe: (p, d) float32, unit rows: `kernel.nsfw.UNSAFE_PROMPTS`.
        safe: (p, d) float32, unit rows: `kernel.nsfw.SAFE_PROMPTS`.
        logit_scale: the model's own.
        threshold: least score that is unsafe.
        space_id: of the pictures that it can judge.
    """

    unsafe: Matrix = field(repr=False)
    safe: Matrix = field(repr=False)
    logit_scale: float
    threshold: float
    space_id: int

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

    def safe_among(
        self, session: Session, image_ids: Sequence[int], audience: Audience
    ) -> list[int]:
        """Return those of images that are the viewer's own or not unsafe, in this order."""
        query: Any = select(Image.id, Image.owner_id, Image.content_id)
        rows = {row.id: row for row in rows_in(session, query, Image.id, image_ids)}
        known = [rows[image_id] for image_id in image_ids if image_id in rows]
        return [row.id for row in self.shown(session, known, audience)]

    def unsafe_contents(self, session: Session, content_ids: Collection[int]) -> set[int]:
        """Return which of these contents show unsafe pictures; one with a damaged vector does."""
        query = select(Embedding.content_id, Embedding.vector, Embedding.crc32).where(
            Embedding.space_id == self.space_id, Embedding.is_deleted.is_(False)
        )
        rows = list(rows_in(session, query, Embedding.content_id, content_ids))
        # What cannot be judged is not shown to strangers.
        unsafe = {
            row.content_id
            for row in rows
            if (vector := intact(row.vector, row.crc32, self.unsafe.shape[1])) is None
            or self.score(vector) >= self.threshold
        }
        return unsafe | self._only_elsewhere(
            session, set(content_ids) - {row.content_id for row in rows}
        )

    def _only_elsewhere(self, session: Session, content_ids: Collection[int]) -> set[int]:
        """Return which of these contents have a vector of another model alone, by which nobody judges."""
        query = select(Embedding.content_id).where(
            Embedding.space_id != self.space_id, Embedding.is_deleted.is_(False)
        )
        return {
            row.content_id for row in rows_in(session, query, Embedding.content_id, content_ids)
        }


def safety_in_force(runtime: Runtime) -> Safety | None:
    """Return by what others' pictures are kept out of results; None unless NSFW_POLICY=hide.

    Raises:
        Conflict: embeddings are switched off, so nothing can be judged and nothing is shown.
        Unavailable: the weights take long to load.
    """
    if runtime.settings.nsfw_policy is not NsfwPolicy.HIDE:
        return None
    return safety_of(runtime, interactive_encoder(runtime))


def safety_of(runtime: Runtime, encoder: CalibratedEncoder) -> Safety:
    """Return what judges pictures in the pinned space; its prompts are encoded once and kept."""
    prompts = [label_vectors.of_prompt(text) for text in (*UNSAFE_PROMPTS, *SAFE_PROMPTS)]
    unsafe, safe = np.split(label_vectors.vectors_of(runtime, encoder, prompts), 2)
    space_id, _ = runtime.space()
    return Safety(unsafe, safe, encoder.logit_scale, runtime.settings.nsfw_threshold, space_id)
