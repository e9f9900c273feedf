"""The API under /api/v1: one blueprint for each resource."""

from __future__ import annotations

from webapp.api import (
    audit,
    batches,
    classifications,
    clusters,
    comments,
    drawing,  # noqa: F401 - adds its route to the blueprint of images
    duplicates,
    embeddings,
    evaluation_reports,  # noqa: F401 - adds its routes to the blueprint of evaluations
    evaluations,
    events,
    feedback,
    image_labels,  # noqa: F401 - adds its route to the blueprint of images
    image_lists,  # noqa: F401 - adds its route to the blueprint of images
    images,
    indexes,
    jobs,
    keys,
    known_images,  # noqa: F401 - adds its route to the blueprint of images
    labels,
    likes,
    many_files,  # noqa: F401 - adds its route to the blueprint of images
    map,
    model_switches,  # noqa: F401 - adds its routes to the blueprint of models
    models,
    pack_exports,  # noqa: F401 - adds its route to the blueprint of packs
    pack_images,  # noqa: F401 - adds its routes to the blueprint of packs
    pack_imports,  # noqa: F401 - adds its route to the blueprint of packs
    packs,
    picture_addresses,
    query_pictures,
    search,
    session,
    similar,  # noqa: F401 - adds its routes to the blueprint of images
    stats,
    styles,
    suggestions,
    tags,
    transfers,
    trash,
    usage,
    users,
    webhooks,
)
from webapp.http.document import MiradaApi


def register(api: MiradaApi) -> None:
    """Register every resource."""
    for resource in (
        images,
        picture_addresses,
        likes,
        comments,
        packs,
        search,
        query_pictures,
        suggestions,
        tags,
        batches,
        trash,
        feedback,
        evaluations,
        embeddings,
        jobs,
        events,
        transfers,
        indexes,
        models,
        users,
        keys,
        webhooks,
        session,
        classifications,
        labels,
        styles,
        clusters,
        duplicates,
        map,
        usage,
        stats,
        audit,
    ):
        api.register_blueprint(resource.blueprint)
