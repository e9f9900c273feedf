"""Query pictures: kept for a day to ask with, for their sender alone."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from flask_smorest.fields import Upload

from mirada.search import query_pictures
from mirada.search.request import SentPicture
from webapp.callers.auth import require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, multipart_body, multipart_fields
from webapp.http.sending import send_kept_copy, sends_picture
from webapp.http.uploads import declared_media_type, staged_of, uploaded_file
from webapp.schemas.form_parts import FormPartsSchema
from webapp.schemas.replies import ResourceSchema, page_of

QUERY_PICTURE_EXAMPLE = {
    "id": 3,
    "created_at": "2026-01-02T03:04:05+00:00",
    "expires_at": "2026-01-03T03:04:05+00:00",
    "thumbnail_url": "/api/v1/query-pictures/3/thumbnail",
    "url": "/api/v1/query-pictures/3",
}
blueprint = ApiBlueprint(
    "query_pictures",
    __name__,
    url_prefix="/api/v1/query-pictures",
    description="Pictures to ask with",
)


class NewQueryPictureSchema(ma.Schema):
    """A picture to ask with."""

    file = Upload(required=True, metadata={"description": "The picture; the file is not kept."})


class KeptPictureSchema(ResourceSchema):
    """A picture to ask with: its id is a part of queries."""

    expires_at = ma.fields.DateTime(
        required=True, metadata={"description": "When it is gone, 24 hours after it was sent."}
    )
    thumbnail_url = ma.fields.String(required=True)


KeptPicturePageSchema = page_of(KeptPictureSchema)


@blueprint.get("")
@blueprint.pages(
    "listQueryPictures",
    "List query pictures, newest first",
    KeptPicturePageSchema,
    example=QUERY_PICTURE_EXAMPLE,
)
def list_query_pictures(query: PageQuery) -> Listed[Any]:
    """The caller's own that are kept now."""
    user = require_user()
    with current_runtime().reading() as session:
        found = query_pictures.list_query_pictures(session, user.id, **query.bounds)
    return Listed(found, _body)


@blueprint.post("")
@blueprint.operation(
    "keepQueryPicture",
    "Keep a picture to ask with",
    refusals=(400, 409, 413, 415, 422),
    parameters=once_parameters("one key keeps one picture"),
    requestBody=multipart_body(NewQueryPictureSchema),
)
@blueprint.response(
    201,
    KeptPictureSchema,
    example=QUERY_PICTURE_EXAMPLE,
    headers=made_headers("Where the query picture is.", "kept the picture"),
)
def keep_query_picture() -> Any:
    """For 24 hours, so that a query with it has an address and can be asked again.

    Its `id` is a `picture` of queries. Only its sender can ask with it or see it. It is no image: no
    search finds it, and it does not become known as an uploaded or classified picture does. The file
    itself is not kept, but its vector and a small copy. One person may keep 200 at a time.
    """
    user = require_user()
    multipart_fields(FormPartsSchema)
    upload = uploaded_file()
    sent = SentPicture(staged_of(upload).path, declared_media_type(upload))
    sha256 = staged_of(upload).sha256
    kept = query_pictures.keep_query_picture(
        current_runtime(), sent, sha256, user.id, key=idempotency_key()
    )
    return made(_body(kept.picture), was_replayed=kept.was_replayed)


@blueprint.get("/<id:picture_id>")
@blueprint.operation("getQueryPicture", "Read a query picture", refusals=(404,))
@blueprint.response(200, KeptPictureSchema, example=QUERY_PICTURE_EXAMPLE)
def get_query_picture(picture_id: int) -> Any:
    """One of the caller's own."""
    user = require_user()
    with current_runtime().reading() as session:
        return _body(query_pictures.get_query_picture(session, picture_id, user.id))


@blueprint.get("/<id:picture_id>/thumbnail")
@sends_picture(
    blueprint,
    "getQueryPictureThumbnail",
    "Get a small copy of a query picture",
    "image/webp",
    may_move=False,
)
def get_query_picture_thumbnail(picture_id: int) -> Any:
    """A WebP of 320 pixels at most, without metadata, for its sender."""
    user = require_user()
    with current_runtime().reading() as session:
        picture = query_pictures.get_query_picture(session, picture_id, user.id)
    return send_kept_copy(picture.thumbnail, picture.sha256)


@blueprint.delete("/<id:picture_id>")
@blueprint.operation("deleteQueryPicture", "Delete a query picture", refusals=(404,))
@blueprint.response(204)
def delete_query_picture(picture_id: int) -> None:
    """One of the caller's own; its bytes are gone at once."""
    user = require_user()
    query_pictures.remove_query_picture(current_runtime().database, picture_id, user.id)


def _body(picture: Any) -> dict[str, Any]:
    return {
        "id": picture.id,
        "created_at": picture.created_at,
        "expires_at": picture.expires_at,
        "thumbnail_url": url_for(
            "query_pictures.get_query_picture_thumbnail", picture_id=picture.id
        ),
        "url": url_for("query_pictures.get_query_picture", picture_id=picture.id),
    }
