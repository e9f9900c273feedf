"""Judgements of images for a query: checked, and written in place of those of before."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.evaluation_models import EvaluationJudgement
from mirada.evaluation.shown_pictures import seen_images
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.ids import in_range

MOST_JUDGED = 200
"""Images of one query, good and bad together."""


def checked_judgements(
    session: Session, owner_id: int, good: Collection[int], bad: Collection[int]
) -> dict[int, bool]:
    """Return whether each image is good, by id.

    Raises:
        InvalidInput: an image is judged both ways, or there are too many.
        NotFound: the owner sees no such image.
    """
    both = sorted(set(good) & set(bad))
    if both:
        reason = f"An image is good or bad, and image {both[0]} is named as both."
        raise InvalidInput(reason, fields={"bad": [reason]})
    judged = dict.fromkeys(good, True) | dict.fromkeys(bad, False)
    _refuse_many(judged)
    seen = seen_images(session, Scope(Audience(owner_id)), map(in_range, judged))
    unseen = sorted(judged.keys() - seen)
    if unseen:
        raise NotFound(f"There is no image {unseen[0]}.")
    return judged


def write_judgements(
    session: Session,
    query_id: int,
    judged: Mapping[int, bool],
    *,
    before: Mapping[int, bool] | None = None,
) -> None:
    """Let these be the judgements of a query of a locked set, in place of those of before.

    Raises:
        InvalidInput: there are too many.
    """
    _refuse_many(judged)
    before = before or {}
    ended = sorted(image for image in before if judged.get(image) is not before[image])
    for chunk in chunks(ended):
        session.execute(
            delete(EvaluationJudgement)
            .where(
                EvaluationJudgement.query_id == query_id, EvaluationJudgement.image_id.in_(chunk)
            )
            .execution_options(synchronize_session=False)
        )
    begun = [
        {"query_id": query_id, "image_id": image, "is_good": is_good}
        for image, is_good in sorted(judged.items())
        if before.get(image) is not is_good
    ]
    if begun:
        session.execute(insert(EvaluationJudgement), begun)


def _refuse_many(judged: Mapping[int, bool]) -> None:
    if len(judged) > MOST_JUDGED:
        reason = f"A query takes {MOST_JUDGED} judged images; these are {len(judged)}."
        raise InvalidInput(reason, fields={"good": [reason]})
