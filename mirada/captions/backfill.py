"""Find images that lack a description, or a vector of what is said of them; queue them page by page.

Running it twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, true
from sqlalchemy.orm import Session

from mirada.captions.embedding import SAID, WantedCaptions
from mirada.captions.wording import CaptionRecipe
from mirada.captions.writing import (
    CAPTION_IMAGE,
    of_recipe,
    request_caption,
    wants_description,
)
from mirada.db.contents import lock_content
from mirada.db.memory_models import Caption, TextEmbedding
from mirada.db.models import Image, Job, JobState
from mirada.db.session import now_ms


@dataclass(frozen=True, slots=True)
class Page:
    """The result of one page of a backfill.

    Attributes:
        last: content id and owner id, after which the next page begins; None when nothing was left.
        job_ids: the jobs to ring after the commit.
    """

    last: tuple[int, int] | None
    job_ids: list[int]


def count_lacking(session: Session, wanted: WantedCaptions) -> int:
    """Return how many pairs of a content and an owner `queue_page` would queue."""
    pairs = select(Image.content_id, Image.owner_id).where(_lacks(wanted)).distinct().subquery()
    return session.execute(select(func.count()).select_from(pairs)).scalar_one()


def count_undescribed(session: Session) -> int:
    """Return how many pairs of a content and an owner a model may describe, and none has yet."""
    lacking = wants_description(None, redo=False)
    pairs = select(Image.content_id, Image.owner_id).where(lacking).distinct().subquery()
    return session.execute(select(func.count()).select_from(pairs)).scalar_one()


def count_to_ask(session: Session, recipe: CaptionRecipe, *, redo: bool = False) -> int:
    """Return about how many pictures a model would have to be asked, which costs money."""
    answered: ColumnElement[bool] = Caption.caption.is_not(None)
    if not redo:
        answered = or_(answered, Caption.refusal.is_not(None))
    known = select(Caption.id).where(*of_recipe(Image.content_id, recipe), answered)
    query = select(func.count(Image.content_id.distinct())).where(
        wants_description(recipe, redo), ~exists(known)
    )
    return session.execute(query).scalar_one()


def queue_page(
    session: Session,
    wanted: WantedCaptions,
    *,
    after: tuple[int, int] = (0, 0),
    page_size: int = 100,
    model: str | None = None,
) -> Page:
    """Queue the captioning of the next pictures, by content and owner; locks the contents of a page.

    Args:
        session: a transaction of its own.
        wanted: the state that what is said should be in.
        after: the last page's `last`.
        page_size: pairs per page, >= 1.
        model: as in `writing.request_caption`.
    """
    content_id, owner_id = after
    pairs = session.execute(
        select(Image.content_id, Image.owner_id)
        .where(
            or_(
                Image.content_id > content_id,
                and_(Image.content_id == content_id, Image.owner_id > owner_id),
            ),
            _lacks(wanted),
        )
        .distinct()
        .order_by(Image.content_id, Image.owner_id)
        .limit(page_size)
    ).all()
    job_ids = [
        request_caption(session, content_id, owner_id, redo=wanted.redo, model=model).id
        for content_id, owner_id in pairs
        if lock_content(session, content_id) is not None
    ]
    return Page((pairs[-1][0], pairs[-1][1]) if pairs else None, job_ids)


def is_any_due(session: Session) -> bool:
    """Return whether captions are being written, or will be within a minute."""
    query = select(Job.id).where(
        Job.kind == CAPTION_IMAGE,
        or_(
            Job.state == JobState.RUNNING,
            and_(Job.state == JobState.QUEUED, Job.next_run_at_ms < now_ms() + 60_000),
        ),
    )
    return session.execute(query.limit(1)).first() is not None


def _lacks(wanted: WantedCaptions) -> ColumnElement[bool]:
    # Of a picture that somebody only had classified there are no images, and so nothing here.
    lacking: list[ColumnElement[bool]] = []
    if wanted.recipe is not None:
        lacking.append(wants_description(wanted.recipe, wanted.redo))
    if wanted.embeds:
        for text_id, is_due in SAID:
            # Of no space, NULL, there are no vectors.
            embedded = select(TextEmbedding.id).where(
                TextEmbedding.text_id == text_id,
                TextEmbedding.space_id == wanted.space_id,
                TextEmbedding.is_deleted == false(),
            )
            lacking += [and_(text_id.is_not(None), ~exists(embedded)), is_due == true()]
        lacking.append(and_(Image.caption.is_not(None), Image.caption_text_id.is_(None)))
    return or_(false(), *lacking)
