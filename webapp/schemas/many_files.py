"""Several files in one upload: the form, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from flask_smorest.fields import Upload

from mirada.pictures.many import MOST_FILES, Outcome
from webapp.http.errors import told_problem
from webapp.schemas.replies import ReplySchema
from webapp.schemas.uploads import NewImageFieldsSchema

FILES_EXAMPLE = {
    "results": [
        {
            "name": "cat.png",
            "status": 201,
            "image_id": 17,
            "url": "/api/v1/images/17",
            "problem": None,
        },
        {
            "name": "notes.txt",
            "status": 415,
            "image_id": None,
            "url": None,
            "problem": {
                "status": 415,
                "code": "unsupported_image",
                "detail": "The file is no picture of a known format.",
                "errors": {},
            },
        },
    ],
    "count": 2,
    "taken": 1,
    "refused": 1,
}


class ManyFilesFieldsSchema(NewImageFieldsSchema):
    """The fields that count for each of the pictures."""

    class Meta:
        """A name of one's own is of one picture alone."""

        exclude = ("file", "asset_id")


class ManyFilesSchema(ManyFilesFieldsSchema):
    """The same with the files."""

    files = ma.fields.List(
        Upload(),
        required=True,
        metadata={
            "description": f"Up to {MOST_FILES} pictures, or ZIPs of pictures, which are counted as one each."
        },
    )


class FileOutcomeSchema(ReplySchema):
    """A file that was taken in or refused."""

    name = ma.fields.String(required=True, metadata={"description": "As it was sent."})
    status = ma.fields.Integer(
        required=True,
        metadata={
            "description": "201 made; 200 you had it; else what it alone would have been answered."
        },
    )
    image_id = ma.fields.Integer(required=True, allow_none=True)
    url = ma.fields.String(required=True, allow_none=True)
    problem = ma.fields.Dict(
        required=True, allow_none=True, metadata={"description": "Why it was refused."}
    )


class FileOutcomesSchema(ReplySchema):
    """Several files, in their order, each taken in or refused."""

    results = ma.fields.List(ma.fields.Nested(FileOutcomeSchema), required=True)
    count = ma.fields.Integer(required=True)
    taken = ma.fields.Integer(required=True)
    refused = ma.fields.Integer(required=True)


def files_body(outcomes: Sequence[Outcome], images_url: str) -> dict[str, Any]:
    """Return the fields for `FileOutcomesSchema`."""
    results = [outcome_body(each, images_url) for each in outcomes]
    taken = sum(each["image_id"] is not None for each in results)
    told = {"results": results, "count": len(results)}
    return {**told, "taken": taken, "refused": len(results) - taken}


def outcome_body(outcome: Outcome, images_url: str) -> dict[str, Any]:
    """Return the fields for `FileOutcomeSchema`."""
    taken, problem = outcome.taken, None
    if outcome.refusal is not None:
        problem = told_problem(outcome.refusal)
    status = problem["status"] if problem else 200 if taken and taken.was_there else 201
    return {
        "name": outcome.name,
        "status": status,
        "image_id": None if taken is None else taken.image_id,
        "url": None if taken is None else f"{images_url}/{taken.image_id}",
        "problem": problem,
    }
