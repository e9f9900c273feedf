"""Descriptions that a model writes: which are missing, what it wrote before, which images show it.

Each is kept beside the caption of a person, and is the caption too where no person wrote one. Every
function that reads or writes them locks the content's row, so that a caption that a person types or
deletes is never written over. A model is asked outside any transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, func, or_, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from mirada.captions.embedding import WantedCaptions, due_texts
from mirada.captions.wording import CaptionRecipe
from mirada.db import changes, word_index
from mirada.db.contents import lock_content
from mirada.db.memory_models import Caption
from mirada.db.models import Image, Job, JobState
from mirada.db.session import now_ms
from mirada.db.texts import locked_text_id, release_text
from mirada.jobs import ledger
from mirada.kernel.captions import CaptionSource
from mirada.kernel.prompts import normalised_prompt

CAPTION_IMAGE = "caption_image_task"
MAX_REFUSAL_CHARS = 255
_HAS_OWN_CAPTION = func.coalesce(Image.caption_source, "") == CaptionSource.PERSON.value


@dataclass(frozen=True, slots=True)
class CaptionClaim:
    """A picture whose description is wanted, and the model's earlier answer.

    Attributes:
        caption: the answer; None when the model has to be asked.
        refusal: the fault of an unusable answer; None without one.
        is_busy: whether another job asks at this moment.
        storage_key: of the picture's bytes.
        sha256: of the same.
    """

    caption: str | None
    refusal: str | None
    is_busy: bool
    storage_key: str
    sha256: str


def request_caption(
    session: Session,
    content_id: int,
    owner_id: int,
    request_id: str | None = None,
    *,
    redo: bool = False,
    model: str | None = None,
) -> Job:
    """Queue the captioning of one owner's images of a content; lock the content, ring after the commit.

    Each owner has a job of their own: its age and number tell nobody that others have the picture.
    With `redo` descriptions of other recipes are written anew too, by `model` if one is named.
    """
    arguments: dict[str, Any] = {"redo": True} if redo else {}
    if model is not None:
        arguments["model"] = model
    fresh = caption_job(content_id, owner_id, request_id)
    fresh.arguments = arguments
    job = ledger.enqueue_job(session, fresh)
    if arguments and job.state == JobState.QUEUED:
        # One that waits already, for tomorrow's money perhaps, learns what is wanted of it by now.
        job.arguments = {**job.arguments, **arguments}
    return job


def caption_job(content_id: int, owner_id: int, request_id: str | None) -> Job:
    """Return the job that captions one owner's images of a content, which is no row yet."""
    work = f"{CAPTION_IMAGE}:{content_id}:{owner_id}"
    job = Job(kind=CAPTION_IMAGE, subject_id=content_id, owner_id=owner_id, same_work=work)
    job.request_id = request_id
    return job


def claim(
    session: Session,
    content_id: int,
    owner_id: int,
    recipe: CaptionRecipe,
    *,
    job_id: int,
    token: str,
    redo: bool = False,
    ask_again: bool = False,
) -> CaptionClaim | None:
    """Claim the right to ask about a content; None when no image of the owner's wants one.

    Args:
        session: a transaction; commit it before asking.
        content_id: whose picture it is.
        owner_id: whose images are meant.
        recipe: how it would be asked.
        job_id: the asking job; the claim stands as long as its lease.
        token: the job's lease.
        redo: write descriptions of other recipes anew, and forget an unusable answer.
        ask_again: only forget an unusable answer.
    """
    content = lock_content(session, content_id)
    if content is None or not content.storage_key:
        return None
    wanting = select(Image.id).where(_wants(content_id, owner_id, recipe, redo))
    if session.execute(wanting.limit(1)).first() is None:
        return None
    row = session.scalars(select(Caption).where(*of_recipe(content_id, recipe))).one_or_none()
    if row is None:
        # Nobody else inserts it meanwhile: the content is locked.
        row = Caption(
            content_id=content_id,
            language=recipe.language.value,
            model=recipe.model,
            prompt_version=recipe.prompt_version,
        )
        session.add(row)
    if row.refusal is not None and (redo or ask_again):
        row.refusal = None
    is_known = row.caption is not None or row.refusal is not None
    is_busy = not is_known and row.claimed_token != token and _is_claimed(session, row)
    if not is_known and not is_busy:
        row.claimed_job_id, row.claimed_token = job_id, token
    return CaptionClaim(row.caption, row.refusal, is_busy, content.storage_key, content.sha256)


def store_answer(
    session: Session,
    content_id: int,
    recipe: CaptionRecipe,
    *,
    caption: str | None = None,
    refusal: str | None = None,
) -> None:
    """Store a paid answer, in a transaction of its own; the first caption stays."""
    if lock_content(session, content_id) is None:
        return
    session.execute(
        update(Caption)
        .where(*of_recipe(content_id, recipe), Caption.caption.is_(None))
        .values(
            caption=caption,
            refusal=refusal and refusal[:MAX_REFUSAL_CHARS],
            claimed_job_id=None,
            claimed_token=None,
        )
        .execution_options(synchronize_session=False)
    )


def show(
    session: Session,
    content_id: int,
    owner_id: int,
    recipe: CaptionRecipe,
    caption: str,
    *,
    redo: bool = False,
) -> int:
    """Give the description to the owner's images that want one, and return how many they are.

    It becomes their caption too, unless a person wrote one. The images' version stays, since no owner
    changed them. A text that is new to an image is due until `embedding.show_vectors`.
    """
    if lock_content(session, content_id) is None:
        return 0
    found = session.execute(
        select(
            Image.id,
            Image.description_text_id.label("described"),
            Image.caption_text_id.label("captioned"),
            _HAS_OWN_CAPTION.label("has_own"),
        )
        .where(_wants(content_id, owner_id, recipe, redo))
        .order_by(Image.id)
        .with_for_update()
    ).all()
    if not found:
        return 0
    uncaptioned = [row for row in found if not row.has_own]
    old_ids = {row.described for row in found} | {row.captioned for row in uncaptioned}
    text_id = locked_text_id(session, normalised_prompt(caption), *old_ids)
    said = _Said(caption, text_id, recipe)
    new = [row.id for row in found if row.described != text_id]
    _say(session, "description", said, [row.id for row in found], new)
    new = [row.id for row in uncaptioned if row.captioned != text_id]
    _say(session, "caption", said, [row.id for row in uncaptioned], new)
    word_index.rewrite(session, [row.id for row in found])
    left = sorted(old_ids - {None, text_id})
    changes.touch_texts(session, [text_id, *left])
    for old_id in left:
        release_text(session, old_id)
    return len(found)


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of a model, their text, and how they were asked for."""

    words: str
    text_id: int
    recipe: CaptionRecipe


def _say(
    session: Session,
    column: Literal["caption", "description"],
    said: _Said,
    image_ids: list[int],
    new_ids: list[int],
) -> None:
    """Write the words to these images; for those of `new_ids` they are due."""
    if not image_ids:
        return
    images = Image.__table__.c
    is_due = f"{column}_is_due"
    values: dict[str, Any] = {
        column: said.words,
        f"{column}_text_id": said.text_id,
        is_due: case((images.id.in_(new_ids), true()), else_=images[is_due]),
        f"{column}_model": said.recipe.model,
        f"{column}_language": said.recipe.language.value,
        f"{column}_prompt_version": said.recipe.prompt_version,
    }
    if column == "caption":
        values["caption_source"] = CaptionSource.MODEL.value
    session.execute(
        update(Image.__table__).where(images.id.in_(image_ids)).values(values)  # type: ignore[arg-type]
    )


def is_complete(session: Session, content_id: int, owner_id: int, wanted: WantedCaptions) -> bool:
    """Return whether nothing is left to write, embed or show; the content stays locked.

    Args:
        session: the transaction that would finish the job.
        content_id: the picture.
        owner_id: the owner of the images.
        wanted: the state that their captions should be in.
    """
    if lock_content(session, content_id) is None:
        return True
    if wanted.recipe is not None:
        wanting = select(Image.id).where(_wants(content_id, owner_id, wanted.recipe, wanted.redo))
        if session.execute(wanting.limit(1)).first() is not None:
            return False
    # A vector that is there is not shown where none is embedded: one that is not would not be either.
    return not wanted.embeds or not due_texts(session, content_id, owner_id, wanted.space_id)


def wants_description(recipe: CaptionRecipe | None, redo: bool) -> ColumnElement[bool]:
    """Return the condition on `images` that a model is to describe them; None: that any model may."""
    missing = and_(Image.description.is_(None), Image.auto_caption == true())
    if recipe is None or not redo:
        return and_(missing, Image.trashed_at.is_(None))
    stale = and_(
        Image.description.is_not(None),
        or_(
            Image.description_model != recipe.model,
            Image.description_language != recipe.language.value,
            Image.description_prompt_version != recipe.prompt_version,
        ),
    )
    return and_(or_(missing, stale), Image.trashed_at.is_(None))


def of_recipe(
    content_id: int | InstrumentedAttribute[int], recipe: CaptionRecipe
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on `captions` for the one row of a content and a recipe."""
    return (
        Caption.content_id == content_id,
        Caption.language == recipe.language.value,
        Caption.model == recipe.model,
        Caption.prompt_version == recipe.prompt_version,
    )


def _wants(
    content_id: int, owner_id: int, recipe: CaptionRecipe, redo: bool
) -> ColumnElement[bool]:
    of_owner = and_(Image.content_id == content_id, Image.owner_id == owner_id)
    return and_(of_owner, wants_description(recipe, redo))


def _is_claimed(session: Session, row: Caption) -> bool:
    alive = select(Job.id).where(
        Job.id == row.claimed_job_id,
        Job.lease_token == row.claimed_token,
        Job.state == JobState.RUNNING,
        Job.lease_until_ms > now_ms(),
    )
    return session.execute(alive).first() is not None
