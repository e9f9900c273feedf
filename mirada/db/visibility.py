"""Who may see what: the one answer, used by every query that lets an image out."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, false, or_, select, true

from mirada.db.models import Image


def may_see(viewer_id: int | None) -> ColumnElement[bool]:
    """Return the condition on `images` for one viewer: public ones, and their own.

    Args:
        viewer_id: None for an anonymous caller.
    """
    own = Image.owner_id == viewer_id if viewer_id is not None else false()
    return or_(Image.is_public == true(), own)


def visible_images(viewer_id: int | None) -> Select[Image]:
    """Return the images a viewer may see; narrow it further, never build another."""
    return select(Image).where(may_see(viewer_id))
