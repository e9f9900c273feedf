"""The spaces that are in use, with the encoders that their vectors can be compared with."""

from __future__ import annotations

from mirada.captions.encoder import caption_encoder
from mirada.db import spaces
from mirada.embedding.interactive import (
    interactive_encoder,
    interactive_text_encoder,
    require_embeddings,
)
from mirada.evaluation.evaluating import Measured
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict
from mirada.runtime import Runtime


def measured_in_use(
    runtime: Runtime, space: str = "image", *, is_interactive: bool = False
) -> Measured:
    """Return a space that is in use, with its encoder.

    Args:
        runtime: with the encoders.
        space: its name, its number, or "image", "prompt" or "caption".
        is_interactive: somebody waits, so bulk work comes after this, and weights are waited for
            briefly.

    Raises:
        NotFound: there is no such space.
        Conflict: it is not in use, or embeddings are switched off.
        Unavailable: the weights cannot be had, or not in time.
    """
    require_embeddings(runtime)
    with runtime.reading() as session:
        row = spaces.space_by_name(session, space)
        pinned = spaces.pinned_space_id(session, SpaceKind(row.kind))
    if pinned != row.id:
        raise Conflict(
            f"The space {row.name} is not in use, so no encoder of it is loaded. Those in use are "
            "named by image, prompt and caption."
        )
    if row.kind == SpaceKind.IMAGE:
        encoder = interactive_encoder(runtime) if is_interactive else runtime.encoder
        return Measured(row.id, encoder)
    if row.kind == SpaceKind.PROMPT:
        prompts = interactive_text_encoder(runtime) if is_interactive else runtime.text_encoder
        return Measured(row.id, prompts)
    return Measured(row.id, caption_encoder(runtime))
