"""The actions that change nothing themselves: they queue work for many images, which cannot be undone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement

from mirada.batches.doing import Doing, Locked
from mirada.captions.wording import recipe_in_force
from mirada.captions.writing import request_caption
from mirada.classify.batch import question_to_json, request_batch
from mirada.classify.criteria import Question
from mirada.db.visibility import may_change, may_see
from mirada.embedding.interactive import SWITCHED_OFF
from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict


class Reclassify(Doing):
    """Classify images again by the labels in force; their owner's results are remembered anew."""

    def check(self) -> None:
        """Raise Conflict where nothing is embedded: nothing can be classified."""
        if not self.means.settings.embeddings_enabled:
            raise Conflict(SWITCHED_OFF)

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition that they see the image: results are remembered for them alone."""
        return may_see(Audience(self.asker.user_id))

    def follow(self, images: Sequence[Locked]) -> None:
        """Queue one job for these images."""
        question = Question(with_descriptions=self.means.settings.label_descriptions)
        request_batch(
            self.session,
            owner_id=self.asker.user_id,
            image_ids=[each.id for each in images],
            question=question_to_json(question),
            request_id=self.means.request_id,
        )


class Recaption(Doing):
    """Have a model describe images that it has not described, or not as it is asked now."""

    def check(self) -> None:
        """Raise Conflict where no model writes captions."""
        if recipe_in_force(self.means.settings) is None:
            raise Conflict(
                "No model writes captions here: it takes OPENAI_API_KEY and CAPTIONS_ENABLED=true."
            )

    def may(self, *, is_undoing: bool = False) -> ColumnElement[bool]:
        """Return the condition that the image is their own: its owner's budget pays for it."""
        return may_change(self.asker.user_id)

    def follow(self, images: Sequence[Locked]) -> None:
        """Queue one job for each picture, for its owner; what a person wrote stays."""
        pictures = {(each.content_id, each.owner_id) for each in images}
        for content_id, owner_id in sorted(pictures):
            request_caption(self.session, content_id, owner_id, self.means.request_id, redo=True)
