"""Routes of the systems that Mirada replaces, with their paths and replies; one file each."""

from __future__ import annotations

from webapp.compat import classifier, creative_memory, embedding_service, health, image_search
from webapp.http.document import MiradaApi


def register(api: MiradaApi) -> None:
    """Register every system's routes."""
    for system in (image_search, embedding_service, classifier, creative_memory, health):
        api.register_blueprint(system.blueprint)
