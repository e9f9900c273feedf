"""Image: one picture, and what is known of it."""

from __future__ import annotations

from flask import Blueprint, Response

from mirada.kernel.errors import NotFound
from mirada.pictures.shown_images import shown_images
from webapp.callers.asking import scope_of_caller
from webapp.http.current import current_runtime
from webapp.pages.shell import page
from webapp.pages.tiles import Tile, title_of


def register(blueprint: Blueprint) -> None:
    """Add the page."""

    @blueprint.get("/images/<id:image_id>", endpoint="image")
    def image(image_id: int) -> Response:
        """One picture."""
        with current_runtime().reading() as session:
            found = shown_images(session, [image_id], scope_of_caller()).get(image_id)
        if found is None:
            raise NotFound("There is no such image, or you may not see it.")
        return page("image.html", title=title_of(found), here="", image=found, tile=Tile(found))
