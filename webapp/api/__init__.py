"""Our own API under /api/v1: one blueprint per resource."""

from __future__ import annotations

from webapp.api import (
    classifications,
    clusters,
    embeddings,
    feedback,
    images,
    indexes,
    jobs,
    labels,
    models,
    search,
    users,
)
from webapp.rest import MiradaApi


def register(api: MiradaApi) -> None:
    """Register every resource."""
    for resource in (
        images,
        search,
        feedback,
        embeddings,
        jobs,
        indexes,
        models,
        users,
        classifications,
        labels,
        clusters,
    ):
        api.register_blueprint(resource.blueprint)
