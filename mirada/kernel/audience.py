"""Audience: a viewer and what is kept from them, as one value; Scope: that and what they ask to see.

`mirada.db.visibility` and `mirada.db.filters` make SQL of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from mirada.kernel.filters import EVERYTHING, ImageFilter


@dataclass(frozen=True, slots=True)
class Audience:
    """A viewer: they see public images and their own, narrowed by what follows.

    Attributes:
        viewer_id: None for an anonymous viewer, who sees public images only.
        owner_ids: when not None, only images of these owners.
        left_out_ids: images that are kept out, such as the one that others are compared with. An
            index leaves out none of them: it knows pictures, not images.
        with_remembered: also pictures that the viewer had classified; they are no images, so the
            two above do not concern them.
        in_trash: they see their own images in the trash, and nothing else. No search is made so.
    """

    viewer_id: int | None
    owner_ids: frozenset[int] | None = None
    left_out_ids: frozenset[int] = frozenset()
    with_remembered: bool = False
    in_trash: bool = False

    def whole(self) -> Self:
        """Return the same viewer for every image they may see, such as one to compare others with."""
        return type(self)(self.viewer_id)

    def own_alone(self) -> Self:
        """Return the same viewer for their own images alone: none for an anonymous one."""
        own = frozenset() if self.viewer_id is None else frozenset({self.viewer_id})
        return replace(self, owner_ids=own)

    def own_trash(self) -> Self:
        """Return the same viewer for what is in their trash: nothing for an anonymous one."""
        return type(self)(self.viewer_id, in_trash=True)

    def without(self, image_id: int) -> Self:
        """Return the same audience with one more image kept out."""
        return replace(self, left_out_ids=self.left_out_ids | {image_id})


@dataclass(frozen=True, slots=True)
class Scope:
    """The images that a search or a list is about.

    Attributes:
        audience: who asks, and what is kept from them.
        filter: what they ask to see of that.
    """

    audience: Audience
    filter: ImageFilter = EVERYTHING

    @property
    def viewer_id(self) -> int | None:
        """The viewer; None for an anonymous one."""
        return self.audience.viewer_id

    def without(self, image_id: int) -> Self:
        """Return the same scope with one more image kept out."""
        return replace(self, audience=self.audience.without(image_id))

    def with_none_left_out(self) -> Self:
        """Return the same scope with the images that were kept out."""
        return replace(self, audience=replace(self.audience, left_out_ids=frozenset()))
