"""Fill a set from what its owner said of themes: what was accepted is good, what was rejected is bad."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Feedback
from mirada.db.deadlocks import retried
from mirada.db.filters import in_scope
from mirada.db.models import Image
from mirada.evaluation.judgements import MOST_JUDGED
from mirada.evaluation.languages import checked_language
from mirada.evaluation.merging import Merged, merge_queries
from mirada.evaluation.queries import NewQuery
from mirada.evaluation.sets import locked_set
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.themes import theme_key

MOST_VERDICTS = 50_000
"""The newest of a person's are looked at."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A theme that makes no query.

    Attributes:
        theme: its key.
        accepted: pictures that were accepted for it.
        rejected: those that were rejected.
    """

    theme: str
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Filled:
    """The queries that a set got, or would get.

    Attributes:
        queries: by theme: what became of each.
        left_out: themes with no accepted picture that is an image which the owner sees.
        without_image: verdicts on pictures of which the owner sees no image, such as one that was
            classified and not uploaded.
    """

    queries: Sequence[Merged]
    left_out: Sequence[LeftOut]
    without_image: int


def fill_set(
    session: Session,
    set_id: int | None,
    owner_id: int,
    *,
    themes: Collection[str] | None = None,
    language: str | None = None,
    is_preview: bool = False,
) -> Filled:
    """Make a query of each theme that the owner judged, or add to it what they judged since.

    Only their own verdicts count. Of a picture with several images the owner's own stands for it, else
    the first they see. Of a theme the newest MOST_JUDGED verdicts count.

    Args:
        session: a transaction.
        set_id: which set; None, with `is_preview` alone, for one that is still to be made.
        owner_id: who asks.
        themes: only these, in any spelling; None for all.
        language: of the new queries, for themes are names in some language; None where it is not said.
        is_preview: write nothing, and say what would be done.

    Raises:
        NotFound: there is no such set of theirs.
        InvalidInput: a theme or the language cannot be one.
        Conflict: the set, or a query, would get more than it may have.
    """
    row = None if set_id is None else locked_set(session, set_id, owner_id)
    tag = checked_language(language)
    verdicts = _verdicts(session, owner_id, None if themes is None else set(map(theme_key, themes)))
    contents = {content for of_theme in verdicts.values() for content in of_theme}
    images = _images_of(session, owner_id, contents)
    sent, left_out, missing = [], [], 0
    for theme, accepted_by_content in sorted(verdicts.items()):
        judged = {
            images[content]: accepted
            for content, accepted in accepted_by_content.items()
            if content in images
        }
        missing += len(accepted_by_content) - len(judged)
        good = [image for image, accepted in judged.items() if accepted]
        bad = [image for image, accepted in judged.items() if not accepted]
        if good:
            sent.append(NewQuery(theme, tag, good, bad, theme))
        else:
            accepted = sum(accepted_by_content.values())
            left_out.append(LeftOut(theme, accepted, len(accepted_by_content) - accepted))
    merged = merge_queries(session, row, sent, is_preview=is_preview)
    return Filled(merged, left_out, missing)


fill = retried(fill_set)


def _verdicts(
    session: Session, owner_id: int, themes: Collection[str] | None
) -> dict[str, dict[int, bool]]:
    """Return by theme whether each content was accepted, the newest verdicts of each theme."""
    query = (
        select(Feedback.theme, Feedback.content_id, Feedback.accepted)
        .where(Feedback.user_id == owner_id)
        .order_by(Feedback.updated_at.desc(), Feedback.id.desc())
        .limit(MOST_VERDICTS)
    )
    found: dict[str, dict[int, bool]] = defaultdict(dict)
    for theme, content_id, accepted in session.execute(query):
        if (themes is None or theme in themes) and len(found[theme]) < MOST_JUDGED:
            found[theme][content_id] = accepted
    return {theme: judged for theme, judged in found.items() if judged}


def _images_of(session: Session, owner_id: int, contents: Collection[int]) -> dict[int, int]:
    """Return by content the image that stands for it: the owner's own, else the first they see."""
    query = select(Image.content_id, Image.id, Image.owner_id).where(
        in_scope(Scope(Audience(owner_id)))
    )
    best: dict[int, tuple[bool, int]] = {}
    for content_id, image_id, owner in rows_in(session, query, Image.content_id, contents):
        ranked = (owner != owner_id, image_id)
        best[content_id] = min(best.get(content_id, ranked), ranked)
    return {content_id: image_id for content_id, (_, image_id) in best.items()}
