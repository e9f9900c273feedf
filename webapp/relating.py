"""From an image to those related to it: what our own route and the compat route answer from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirada.db import spaces
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.images import ImageStatus
from mirada.pictures import images
from mirada.search import related
from mirada.search.related import Aspect, RelatedImage
from webapp.callers.auth import Caller
from webapp.http.current import current_runtime
from webapp.searching import SWITCHED_OFF, safety_in_force, wait_for_freshness

if TYPE_CHECKING:
    from mirada.kernel.embeddings import Vector


@dataclass(frozen=True, slots=True)
class Related:
    """What is related to an image.

    Attributes:
        results: best first.
        blend: the weight of the prompts that was in force: 0 where the image has none.
        reason: why there are no results or fewer than asked; None when there are enough.
    """

    results: list[RelatedImage] = field(default_factory=list)
    blend: float = 0.0
    reason: str | None = None


def related_images(
    image_id: int, caller: Caller, *, k: int, blend: float, only_own: bool = False
) -> Related:
    """Return the images most like one that the caller may see; none where it has no vector yet.

    Raises:
        NotFound: there is no such image for this caller.
    """
    runtime = current_runtime()
    with runtime.reading() as session:
        image = images.get_image(session, image_id, caller.audience)
        image_space_id = spaces.pinned_space_id(session)
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
        if not runtime.settings.embeddings_enabled:
            return Related(reason=SWITCHED_OFF)
        picture = prompt = None
        if image_space_id is not None:
            picture, prompt = related.own_vectors(session, image, image_space_id, prompt_space_id)
    if image_space_id is None or picture is None:
        is_failed = image.status == ImageStatus.FAILED
        return Related(
            reason=f"Image {image_id} could not be embedded."
            if is_failed
            else f"Image {image_id} is {image.status} and has no vector yet."
        )
    by_picture = _aspect(image_space_id, SpaceKind.IMAGE, picture)
    by_prompt = None
    if prompt is not None and prompt_space_id is not None and blend > 0.0:
        by_prompt = _aspect(prompt_space_id, SpaceKind.PROMPT, prompt)
    safety = safety_in_force()
    audience = caller.audience.own_alone() if only_own else caller.audience
    with runtime.reading() as session:
        found = related.find_related(
            session,
            by_picture,
            by_prompt,
            audience.without(image_id),
            k=k,
            blend=blend,
            safety=safety,
        )
    few = None if len(found) == k else "These are all there are that you may see."
    return Related(found, 0.0 if by_prompt is None else blend, few)


def _aspect(space_id: int, kind: SpaceKind, query: Vector) -> Aspect:
    runtime = current_runtime()
    index = runtime.index(space_id)
    wait_for_freshness(index, runtime.vector_source(space_id))
    return Aspect(index, space_id, kind, query)
