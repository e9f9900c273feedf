"""Images as an export has them: everything that people gave, and the vectors in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.classifier_models import Feedback
from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image, User
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import SpaceKind, Vector

PLAIN = (
    *("id", "filename", "asset_id", "external_source", "external_id", "external_name"),
    *("prompt", "caption", "caption_source", "caption_model", "caption_language"),
    *("caption_prompt_version", "description", "description_model", "description_language"),
    *("description_prompt_version", "auto_caption", "generation", "is_public", "is_hidden"),
    *("hidden_reason", "tags"),
)
"""Columns of `images` that are written as they are."""
TEXTS = {
    "prompt": (SpaceKind.PROMPT, "prompt_text_id"),
    "caption": (SpaceKind.CAPTION, "caption_text_id"),
    "description": (SpaceKind.CAPTION, "description_text_id"),
}


@dataclass(frozen=True, slots=True)
class Described:
    """One image.

    Attributes:
        fields: as JSON has them.
        sha256, storage_key: of its bytes.
        vectors: "picture" or the name of a text -> the kind of its space and the vector.
    """

    fields: dict[str, Any]
    sha256: str
    storage_key: str
    vectors: dict[str, tuple[SpaceKind, Vector]] = field(default_factory=dict)


def described(
    session: Session, images: Sequence[Image], space_ids: Mapping[SpaceKind, int]
) -> list[Described]:
    """Return images, content and owner loaded, with what belongs to them, in their order."""
    ids = [image.id for image in images]
    likes = _by(session, _of_people(Like, Like.image_id, Like.created_at), Like.image_id, ids)
    comments = _by(
        session,
        _of_people(Comment, Comment.image_id, Comment.created_at, Comment.body.label("text")),
        Comment.image_id,
        ids,
    )
    said = (Feedback.theme, Feedback.accepted, Feedback.asset_id)
    judged = _of_people(Feedback, Feedback.content_id, Feedback.created_at, *said)
    contents = {image.content_id for image in images}
    verdicts = _by(session, judged, Feedback.content_id, contents)
    vectors = _vectors(session, images, space_ids)
    return [
        Described(
            {
                **{name: getattr(image, name) for name in PLAIN},
                "sha256": image.content.sha256,
                "owner": person(image.owner.username, image.owner.external_id),
                "created_at": image.created_at.isoformat(),
                "updated_at": image.updated_at.isoformat(),
                "likes": likes[image.id],
                "comments": comments[image.id],
                "feedback": verdicts[image.content_id],
            },
            image.content.sha256,
            image.content.storage_key,
            vectors[image.id],
        )
        for image in images
    ]


def _of_people(entity: Any, key: Any, at: Any, *more: Any) -> Select[Any]:
    return (
        select(key.label("key"), User.username, User.external_id, at.label("at"), *more)
        .join_from(entity, User, User.id == entity.user_id)
        .order_by(at)
    )


def _by(
    session: Session, query: Select[Any], column: Any, values: Any
) -> defaultdict[int, list[dict[str, Any]]]:
    """Return likes, comments or verdicts by what they are of, oldest first."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_in(session, query, column, values):
        fields = dict(row._mapping)
        at: datetime = fields.pop("at")
        by = person(fields.pop("username"), fields.pop("external_id"))
        found[fields.pop("key")].append({"by": by, "at": at.isoformat(), **fields})
    return found


def person(username: str, external_id: str | None) -> dict[str, str | None]:
    """Return a person as an export names them."""
    return {"username": username, "external_id": external_id}


def _vectors(
    session: Session, images: Sequence[Image], space_ids: Mapping[SpaceKind, int]
) -> defaultdict[int, dict[str, tuple[SpaceKind, Vector]]]:
    found: defaultdict[int, dict[str, tuple[SpaceKind, Vector]]] = defaultdict(dict)
    subjects = {"picture": (SpaceKind.IMAGE, "content_id"), **TEXTS}
    for name, (kind, column) in subjects.items():
        wanted = {image.id: getattr(image, column) for image in images}
        present = {each for each in wanted.values() if each is not None}
        there = vectors_of(session, table_of(kind), space_ids.get(kind), present)
        for image_id, subject in wanted.items():
            if subject in there:
                found[image_id][name] = (kind, there[subject])
    return found
