"""Which images want a caption of a model's: those without one whose owner allows it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_, true

from mirada.captions.wording import CaptionRecipe
from mirada.db.models import Image
from mirada.kernel.captions import CaptionSource


def wants_any(recipe: CaptionRecipe, redo: bool) -> ColumnElement[bool]:
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
    return and_(Image.content_id == content_id, Image.owner_id == owner_id, wants_any(recipe, redo))
