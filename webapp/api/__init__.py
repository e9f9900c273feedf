"""The API under /api/v1: one blueprint for each resource."""

from __future__ import annotations

from webapp.api import (
    captioned,  # noqa: F401 - adds its route to the blueprint of images
    classifications,
    clusters,
    comments,
    drawing,  # noqa: F401 - adds its route to the blueprint of images
    embeddings,
    feedback,
    image_files,
    indexes,
    jobs,
    keys,
    labels,
    likes,
    models,
    related,  # noqa: F401 - adds its route to the blueprint of images
    search,
    session,
    styles,
    usage,
    users,
)
from webapp.http.rest import MiradaApi


def register(api: MiradaApi) -> None:
    """Register every resource."""
    for resource in (
        # The blueprint of images, complete with their bytes and what is related to them.
        image_files,
        likes,
        comments,
        search,
        feedback,
        embeddings,
        jobs,
        indexes,
        models,
        users,
        keys,
        session,
        classifications,
        labels,
        styles,
        clusters,
        usage,
    ):
        api.register_blueprint(resource.blueprint)
