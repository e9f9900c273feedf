"""Wanted captions: which images lack a caption, or its vector, by the settings in force."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from mirada.captions.encoder import SERVER
from mirada.captions.wording import CaptionRecipe
from mirada.db import spaces
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
    settings = runtime.settings
    is_open = row is None or row.pretrained != SERVER or settings.openai_api_key is not None
    embeds = settings.embeddings_enabled and is_open
    if row is None:
        return WantedCaptions(recipe, embeds, None, redo)
    return WantedCaptions(recipe, embeds, row.id, redo, row.to_space())
