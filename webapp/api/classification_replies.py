"""From a request to a classification: the one path that the API and the compat route take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirada.classify.classifier import Classifier
from mirada.classify.classify import Answer, classify_sent, classify_stored
from mirada.classify.criteria import Question
from mirada.classify.expansions import expansion_within
from mirada.embedding.interactive import interactive_encoder
from mirada.kernel.errors import InvalidInput
from mirada.kernel.zero_shot import sigmoid_probabilities
from mirada.search.asked import Asked
from mirada.search.like_classified import similar_pictures
from webapp.callers.asking import asked_by_caller
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import change_seq_headers


def question_of(fields: Mapping[str, Any]) -> Question:
    """Return what the fields of a `QuestionSchema` ask for."""
    with_descriptions = fields.get("label_descriptions")
    if with_descriptions is None:
        with_descriptions = current_runtime().settings.label_descriptions
    return Question(
        labels=fields.get("labels"),
        templates=fields.get("templates"),
        with_descriptions=with_descriptions,
        nsfw_threshold=fields.get("nsfw_threshold"),
        theme=fields.get("theme"),
    )


def classify_upload(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Classify the request's file; return the body and headers of the reply.

    Raises:
        InvalidInput: `asset_sha256` is not the file's; nothing was looked at further.
        UnsupportedImage, CorruptImage, ImageTooLarge, Conflict, Unavailable: as the parts do.
    """
    user, asked = require_user(), asked_by_caller()
    upload = uploads.uploaded_file()
    staged = uploads.staged_of(upload)
    _require_sha256(fields.get("asset_sha256"), staged.sha256)
    answer = classify_sent(
        current_runtime(),
        interactive_encoder(current_runtime()),
        staged,
        declared_media_type=uploads.declared_media_type(upload),
        owner_id=user.id,
        question=question_of(fields),
        asset_id=fields.get("asset_id"),
    )
    return _body(answer, fields, asked, user.id), change_seq_headers(answer.change_seq)


def classify_image(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Classify a stored image by its vector; return the body of the reply. Raises as its parts do."""
    user, asked = require_user(), asked_by_caller()
    runtime = current_runtime()
    classifier = Classifier.prepare(runtime, interactive_encoder(runtime), question_of(fields))
    answer = classify_stored(
        runtime,
        classifier,
        fields["image_id"],
        owner_id=user.id,
        asset_id=fields.get("asset_id"),
    )
    return _body(answer, fields, asked, user.id)


def _require_sha256(given: str | None, sha256: str) -> None:
    if given is not None and given.strip().lower() != sha256:
        message = f"The file's SHA-256 is {sha256}; it was changed or cut off on its way."
        raise InvalidInput(message, fields={"asset_sha256": [message]})


def _body(answer: Answer, fields: Mapping[str, Any], asked: Asked, user_id: int) -> dict[str, Any]:
    expansion, status = expansion_within(
        current_runtime(), answer.summary["category"], owner_id=user_id, request_id=request_id()
    )
    found = answer.classification
    probabilities = None
    if fields.get("probabilities"):
        each = sigmoid_probabilities(found.zero_shot.logits)
        names = [label.name for label in found.labels]
        probabilities = dict(zip(names, each.tolist(), strict=True))
    return {
        **answer.summary,
        "raw_logits": found.raw_logits(),
        "llm_expansion": None if expansion is None else expansion.to_dict(),
        "llm_expansion_status": str(status),
        "similar_images": _similar_images(answer, fields, asked),
        "image_hash": answer.sha256,
        "asset_id": answer.asset_id,
        "theme": answer.theme,
        "theme_affinity": found.theme_affinity,
        "theme_verdicts": found.theme_verdicts,
        "probabilities": probabilities,
    }


def _similar_images(
    answer: Answer, fields: Mapping[str, Any], asked: Asked
) -> list[dict[str, Any]]:
    settings = current_runtime().settings
    found = similar_pictures(
        current_runtime(),
        answer.vector,
        asked,
        k=fields.get("similar_limit", settings.similarity_limit),
        threshold=fields.get("similar_threshold", settings.similarity_threshold),
        exclude_sha256=answer.sha256,
    )
    return [
        {
            "image_hash": picture.sha256,
            "asset_id": picture.asset_id,
            "similarity": picture.similarity,
        }
        for picture in found
    ]
