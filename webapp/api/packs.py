"""Packs: made, read, changed and deleted."""

from __future__ import annotations

from typing import Any

from flask import jsonify

from mirada.kernel.conditions import IS_PUBLIC
from mirada.packs import packs, shown
from mirada.packs.shown import ShownPack
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.preconditions import expected_version, pack_etag, with_etag
from webapp.http.rest import ApiBlueprint, header, request_header
from webapp.schemas.packs import (
    NEW_PACK_EXAMPLE,
    PACK_EXAMPLE,
    NewPackSchema,
    PackChangeSchema,
    PackListQuerySchema,
    PackPageSchema,
    PackSchema,
    pack_body,
)

blueprint = ApiBlueprint(
    "packs", __name__, url_prefix="/api/v1/packs", description="Ordered sets of pictures"
)
ETAG_HEADER = {
    "ETag": header("Tag of this reply, for If-None-Match; in If-Match its version alone counts.")
}
IF_MATCH = request_header("If-Match", "Do it only to this version.")
IF_NONE_MATCH = request_header("If-None-Match", "Answer 304 when the reply still is this one.")


@blueprint.get("")
@blueprint.pages(
    "listPacks",
    "List packs, newest first",
    PackPageSchema,
    query=PackListQuerySchema,
    example=PACK_EXAMPLE,
)
def list_packs(query: PageQuery) -> Listed[Any]:
    """Public packs and the caller's own, each with what the caller sees of it."""
    audience, asked = current_caller().audience, query.filters
    wanted = shown.Wanted(
        own_alone=asked["mine"],
        is_public=None if asked["visibility"] is None else IS_PUBLIC[asked["visibility"]],
        title=asked["title"],
        image_id=asked["image_id"],
    )
    with current_runtime().reading() as session:
        found = shown.list_packs(session, audience, wanted, **query.bounds)
    return Listed(found, pack_body)


@blueprint.post("")
@blueprint.operation(
    "createPack",
    "Make a pack",
    refusals=(400, 404, 409, 413, 415, 422),
    parameters=once_parameters("one key makes one pack"),
)
@blueprint.arguments(NewPackSchema, example=NEW_PACK_EXAMPLE)
@blueprint.response(
    201,
    PackSchema,
    example=PACK_EXAMPLE | {"image_count": 0, "cover": None, "cover_image_id": None},
    headers={**made_headers("Where the pack is.", "made the pack"), **ETAG_HEADER},
)
def create_pack(fields: dict[str, Any]) -> Any:
    """Empty, or with a `query` that fills it whenever somebody looks at it."""
    user = require_user()
    new = packs.make_pack(current_runtime().database, user.id, named(fields), key=idempotency_key())
    return made(pack_body(new.pack), tag_of(new.pack), was_replayed=new.was_replayed)


@blueprint.get("/<id:pack_id>")
@blueprint.operation("getPack", "Read a pack", refusals=(404,), parameters=[IF_NONE_MATCH])
@blueprint.alt_response(304, description="It is what you have.")
@blueprint.response(200, PackSchema, example=PACK_EXAMPLE, headers=ETAG_HEADER)
def get_pack(pack_id: int) -> Any:
    """A public one, or one of the caller's own. Pictures and their number are those that they may see."""
    with current_runtime().reading() as session:
        pack = shown.shown_pack(session, pack_id, current_caller().audience)
    response = jsonify(PackSchema().dump(pack_body(pack)))
    return with_etag(response, pack_etag(pack))


@blueprint.patch("/<id:pack_id>")
@blueprint.operation(
    "changePack",
    "Change title, description, cover, theme, visibility or query",
    refusals=(400, 404, 409, 412, 415, 422),
    parameters=[IF_MATCH],
)
@blueprint.arguments(PackChangeSchema, example={"is_public": True})
@blueprint.response(200, PackSchema, example=PACK_EXAMPLE, headers=ETAG_HEADER)
def change_pack(fields: dict[str, Any], pack_id: int) -> Any:
    """Its owner may; anybody else is told that there is no such pack."""
    user = require_user()
    return answered(
        packs.change_pack(
            current_runtime().database,
            pack_id,
            user.id,
            named(fields),
            expected_version=version_named(pack_id),
        )
    )


@blueprint.delete("/<id:pack_id>")
@blueprint.operation("deletePack", "Delete a pack", refusals=(404, 409, 412), parameters=[IF_MATCH])
@blueprint.response(204)
def delete_pack(pack_id: int) -> None:
    """Its pictures stay. Its owner may, and an administrator where it is public."""
    user = require_user()
    packs.delete_pack(
        current_runtime().database,
        pack_id,
        user.id,
        expected_version=version_named(pack_id),
        is_administrator=current_caller().is_administrator,
    )


def named(fields: dict[str, Any]) -> dict[str, Any]:
    """Return validated fields with those of a query as they are kept: under the names of requests."""
    query = fields.get("query")
    if query is None:
        return fields
    return {**fields, "query": {name.removesuffix("_"): value for name, value in query.items()}}


def version_named(pack_id: int) -> int | None:
    """Return the version of a pack of the caller's that If-Match names, None for no condition."""

    def current() -> int:
        with current_runtime().reading() as session:
            return packs.current_version(session, pack_id, require_user().id)

    return expected_version(pack_id, current, what="pack")


def answered(pack: ShownPack) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return the reply with a pack and its tag."""
    return pack_body(pack), 200, tag_of(pack)


def tag_of(pack: ShownPack) -> dict[str, str]:
    """Return the header with the tag of a pack."""
    return {"ETag": f'"{pack_etag(pack)}"'}
