"""Tags: those of an image, which there are, and their names."""

from __future__ import annotations

from typing import Any

from mirada.kernel.tags import tag_key
from mirada.pictures import images, likes, tags
from mirada.pictures.shown_images import ShownImage
from mirada.pictures.tags import TagCount
from webapp.api.images import ETAG_HEADER, IF_MATCH, changed_image_headers, version_wanted
from webapp.api.images import blueprint as image_blueprint
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery, text_of
from webapp.http.rest import CHANGE_SEQ_HEADER, ApiBlueprint
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.tags import (
    RENAMED_EXAMPLE,
    TAG_EXAMPLE,
    ImageTagsSchema,
    RenamedTagSchema,
    TagChangeSchema,
    TagListQuerySchema,
    TagPageSchema,
)

blueprint = ApiBlueprint(
    "tags", __name__, url_prefix="/api/v1/tags", description="Words that people put on images"
)
NAME_IN_PATH = {"in": "path", "name": "name", "schema": {"type": "string"}, "required": True}


@image_blueprint.put("/<id:image_id>/tags")
@image_blueprint.operation(
    "setImageTags",
    "Set the tags of an image",
    refusals=(400, 403, 404, 409, 412, 415, 422),
    parameters=[IF_MATCH],
)
@image_blueprint.arguments(ImageTagsSchema, example={"tags": ["cat", "film still"]})
@image_blueprint.response(
    200, ImageSchema, example=IMAGE_EXAMPLE, headers={**ETAG_HEADER, **CHANGE_SEQ_HEADER}
)
def set_image_tags(fields: dict[str, Any], image_id: int) -> Any:
    """Instead of those that it had. Its owner may, and an administrator where it is public or hidden.

    A tag that the owner's images have already is written as it is there.
    """
    user, runtime = require_user(), current_runtime()
    expected = version_wanted(image_id)
    with runtime.transaction() as session:
        image = tags.set_tags(
            session,
            image_id,
            user.id,
            fields["tags"],
            expected_version=expected,
            is_administrator=current_caller().is_administrator,
        )
        liked = likes.liked_among(session, user.id, [image_id])
    shown = ShownImage.of(image, user.id, liked=image_id in liked)
    return image_body(shown), 200, changed_image_headers(shown, images.committed_change(session))


@blueprint.get("")
@blueprint.pages(
    "listTags", "List tags, by name", TagPageSchema, query=TagListQuerySchema, example=TAG_EXAMPLE
)
def list_all_tags(query: PageQuery) -> Listed[Any]:
    """Of images that the caller may see: nobody learns of a tag that only other people's private ones have.

    The model's labels are no tags: /api/v1/images/{image_id}/labels has them.
    """
    fields = query.filters
    scope = scope_of_caller(own_alone=fields["mine"])
    with current_runtime().reading() as session:
        rows = tags.list_tags(
            session,
            scope,
            prefix=fields["prefix"],
            after=text_of(query.cursor),
            limit=query.limit + 1,
        )
    return Listed(rows, _body, lambda row: row.key)


@blueprint.patch("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation("renameTag", "Rename a tag", refusals=(400, 404, 409, 415, 422))
@blueprint.arguments(TagChangeSchema, example={"name": "kitten"})
@blueprint.response(200, RenamedTagSchema, example=RENAMED_EXAMPLE)
def rename_tag(fields: dict[str, Any], name: str) -> Any:
    """On all of the caller's own images; an administrator's also where one is public or hidden.

    Other people's images keep the word that they wrote.
    """
    user = require_user()
    found = tags.rename_tag(
        current_runtime().database,
        tag_key(name),
        fields["name"],
        user.id,
        is_administrator=current_caller().is_administrator,
    )
    return {"name": found.name, "count": found.count, "is_merged": found.is_merged}


def _body(row: TagCount) -> dict[str, Any]:
    return {"name": row.name, "count": row.count}
