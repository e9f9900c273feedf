"""Wanted captions: which images lack a caption, or its vector, by the settings in force."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

from mirada.captions.embedding import due_texts
from mirada.captions.encoder import can_embed
from mirada.captions.wording import CaptionRecipe
from mirada.db import spaces
from mirada.db.contents import lock_content
from mirada.db.models import Image
from mirada.kernel.captions import CaptionSource
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.runtime import Runtime


@dataclass(frozen=True, slots=True)
class WantedCaptions:
    """The state that an image's caption should be in.

    Attributes:
        recipe: how a missing caption is written; None where no model writes them.
        embeds: whether captions are embedded at all.
        space_id: the number of the caption space; None before one is pinned.
        space: the caption space itself, where it was read; None before one is pinned.
        redo: captions that another model, language or version of the instructions wrote count as
            missing.
    """

    recipe: CaptionRecipe | None
    embeds: bool
    space_id: int | None
    redo: bool = False
    space: EmbeddingSpace | None = None


def recipe_in_force(runtime: Runtime, model: str | None = None) -> CaptionRecipe | None:
    """Return the recipe of missing captions; None where no model writes them.

    Args:
        runtime: its settings name the model and the language.
        model: another model than CAPTION_MODEL.
    """
    settings = runtime.settings
    if settings.openai_api_key is None or not settings.captions_enabled:
        return None
    return CaptionRecipe(model or settings.caption_model, settings.caption_language)


def wanted_captions(
    runtime: Runtime, session: Session, recipe: CaptionRecipe | None, redo: bool
) -> WantedCaptions:
    """Return the wanted state by the settings and the caption space that is pinned now."""
    row = spaces.pinned_space(session, SpaceKind.CAPTION)
    space = None if row is None else row.to_space()
    embeds = can_embed(runtime.settings, space)
    return WantedCaptions(recipe, embeds, None if row is None else row.id, redo, space)


def wants_caption(recipe: CaptionRecipe, redo: bool) -> ColumnElement[bool]:
    """Return the condition on `images` that a model is to write their caption."""
    missing = and_(Image.caption.is_(None), Image.auto_caption == true())
    if not redo:
        return missing
    stale = and_(
        Image.caption_source == CaptionSource.MODEL.value,
        or_(
            Image.caption_model != recipe.model,
            Image.caption_language != recipe.language.value,
            Image.caption_prompt_version != recipe.prompt_version,
        ),
    )
    return or_(missing, stale)


def wants(content_id: int, owner_id: int, recipe: CaptionRecipe, redo: bool) -> ColumnElement[bool]:
    """Return the same condition for one owner's images of a content."""
    of_owner = and_(Image.content_id == content_id, Image.owner_id == owner_id)
    return and_(of_owner, wants_caption(recipe, redo))


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
        wanting = select(Image.id).where(wants(content_id, owner_id, wanted.recipe, wanted.redo))
        if session.execute(wanting.limit(1)).first() is not None:
            return False
    # A vector that is there is not shown where none is embedded: one that is not would not be either.
    return not wanted.embeds or not due_texts(session, content_id, owner_id, wanted.space_id)
