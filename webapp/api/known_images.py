"""The question which pictures the caller has already, on the blueprint of images."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.pictures.known_images import MOST_HASHES, known_images
from webapp.api.images import blueprint
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.schemas.replies import ReplySchema

HASH = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"


class HashesSchema(ma.Schema):
    """Hashes of pictures that may be sent."""

    sha256 = ma.fields.List(
        ma.fields.String(
            # A pattern's end would let a line break pass.
            validate=[
                validate.Length(equal=64),
                validate.Regexp(r"^[0-9a-f]{64}$", error="Send 64 digits of 0-9 and a-f."),
            ]
        ),
        required=True,
        validate=validate.Length(min=1, max=MOST_HASHES),
        metadata={"description": "SHA-256 of each file's bytes, as hex in lower case."},
    )


class KnownImageSchema(ReplySchema):
    """A picture that the caller has."""

    image_id = ma.fields.Integer(required=True, metadata={"description": "The first, of several."})


class KnownImagesSchema(ReplySchema):
    """Pictures that the caller has, by their hashes; those that are not there are left out."""

    known = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Nested(KnownImageSchema), required=True
    )


@blueprint.post("/known")
@blueprint.operation("findKnownImages", "Ask which pictures you have", refusals=(400, 415, 422))
@blueprint.arguments(HashesSchema, example={"sha256": [HASH]})
@blueprint.response(200, KnownImagesSchema, example={"known": {HASH: {"image_id": 7}}})
def find_known_images(fields: dict[str, Any]) -> Any:
    """By the SHA-256 of their bytes, before they are sent. Of your own images alone.

    Whatever others have, public or not, is left out as what nobody has.
    """
    user = require_user()
    with current_runtime().reading() as session:
        known = known_images(session, user.id, fields["sha256"])
    return {"known": {sha256: {"image_id": image_id} for sha256, image_id in known.items()}}
