"""Image: one picture, what is known of it, and what people say of it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from webapp.pages import image_acts, image_deletion, image_packs, image_tags
from webapp.pages.image_address import page_of_request
from webapp.pages.image_view import shown


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""

    @blueprint.get("/images/<id:image_id>", endpoint="image")
    def image(image_id: int) -> Response:
        """One picture; of a fragment one of its sections."""
        return shown(page_of_request(image_id))

    path = "/images/<id:image_id>/delete"
    blueprint.get(path, endpoint="image_ask_to_delete")(image_deletion.ask_to_delete)
    acts: dict[str, Any] = {
        "like": image_acts.like,
        "visibility": image_acts.show_to,
        "hide": image_acts.hide,
        "delete": image_deletion.delete,
        "remove": image_deletion.remove_from_others,
        "restore": image_deletion.undo,
        "caption": image_acts.rename,
        "prompt": image_acts.reprompt,
        "tags": image_tags.add,
        "tags/remove": image_tags.remove,
        "packs": image_packs.add,
        "packs/remove": image_packs.remove,
        "packs/undo": image_packs.undo,
        "verdicts": image_acts.judge,
        "verdicts/undo": image_acts.take_back,
        "comments": image_acts.comment,
        "comments/delete": image_acts.remove_comment,
    }
    for path, act in acts.items():
        blueprint.add_url_rule(
            f"/images/<id:image_id>/{path}",
            endpoint=f"image_{path.replace('/', '_')}",
            view_func=act,
            methods=["POST"],
        )
