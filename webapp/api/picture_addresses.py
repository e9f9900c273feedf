"""Pictures at addresses that never change, and addresses with an end for whoever has no key."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from flask import Response

from mirada.kernel.copies import THUMBNAIL_SIDES_PX
from mirada.kernel.errors import NotFound
from mirada.kernel.picture_tokens import end_of_link
from mirada.people.access import Scope
from mirada.pictures import addresses
from webapp.callers.auth import current_caller, require_user
from webapp.callers.scopes import require_scope
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.http.sending import Kept, send_at_address, sends_picture
from webapp.schemas.pictures import (
    LINKS_EXAMPLE,
    PictureLinksReplySchema,
    PictureLinksSchema,
    src_of_link,
)

DAY_S = 86_400
UNTIL = re.compile("[0-9]{1,12}")
PUBLIC = Kept(f"public, max-age={DAY_S}, immutable")
OWN = Kept(f"private, max-age={DAY_S}", by_caller=True)
blueprint = ApiBlueprint(
    "picture_addresses",
    __name__,
    description="Pictures at addresses that never change",
)


class SignedSchema(ma.Schema):
    """What makes an address count for whoever has it."""

    # What is odd is no signature: a 422 would be answered before anybody asks whose the picture is.
    until = ma.fields.String(
        load_default="",
        metadata={"description": "When the address ends, in Unix seconds; from the address."},
    )
    signature = ma.fields.String(
        load_default="",
        metadata={"description": "Of the token and `until`; from the address."},
    )


@blueprint.get("/i/<address>/<int:side>.webp")
@sends_picture(
    blueprint, "getPicture", "Get a picture by its address", "image/webp", may_move=False
)
@blueprint.arguments(SignedSchema, location="query")
def get_picture(query: dict[str, Any], address: str, side: int) -> Any:
    """A still WebP, at most `side` pixels on its longer side: 320, 640 or 1,280. None is enlarged.

    The address of a public image answers anybody, without a key, and may be kept by every cache for a
    day. That of a private one answers its owner, or anybody who has it signed (`makePictureLinks`).
    When who may see the image changes, or it is deleted, the address is 404 at once. Copies that were
    fetched before stay where they are.
    """
    runtime = current_runtime()
    is_size = side in THUMBNAIL_SIDES_PX
    with runtime.reading() as session:
        image = addresses.find(session, address) if is_size else None
    is_shown = image is not None and image.trashed_at is None
    if image is not None and is_shown and image.is_public:
        return send_at_address(image, side, PUBLIC)
    if image is not None and is_shown and (left_s := _signed_for_s(address, query)) > 0:
        return send_at_address(image, side, Kept(f"private, max-age={min(left_s, DAY_S)}"))
    # Who asks is looked up where there is nothing, too: a wrong key must not tell the two apart.
    caller = current_caller()
    require_scope(caller.scopes, Scope.READ)
    with runtime.reading() as session:
        if image is None or not addresses.is_seen_by(session, image, caller.audience):
            raise NotFound("There is no picture at this address (any more).")
    return send_at_address(image, side, OWN)


@blueprint.post("/api/v1/picture-links")
@blueprint.operation(
    "makePictureLinks",
    "Make addresses of pictures for whoever has no key",
    refusals=(400, 415, 422),
)
@blueprint.arguments(PictureLinksSchema, example={"image_ids": [17, 18], "ttl_s": 3600})
@blueprint.response(200, PictureLinksReplySchema, example=LINKS_EXAMPLE)
def make_picture_links(asked: dict[str, Any]) -> dict[str, Any]:
    """For a product's own page: its `<img>` shows private pictures until the addresses end.

    Whoever has such an address sees the picture until then. It ends sooner when who may see the image
    changes; the end of the key that asked for it does not end it. Addresses that are asked for again
    soon are the same ones, so that browsers keep the pictures. Images that the caller may not see are
    left out. Public ones get their usual addresses, which have no end.
    """
    require_user()
    runtime = current_runtime()
    until_s = end_of_link(int(time.time()), asked["ttl_s"])
    with runtime.reading() as session:
        made = addresses.links(
            session, asked["image_ids"], current_caller().audience, until_s, runtime.secret
        )
    return {
        "results": [{"image_id": each.image_id, "src": src_of_link(each)} for each in made],
        "count": len(made),
        "expires_at": datetime.fromtimestamp(until_s, UTC),
    }


@blueprint.after_request
def keep_no_refusal(response: Response) -> Response:
    """Keep caches from holding an answer that the next second may change."""
    if response.status_code >= 400:
        response.headers["Cache-Control"] = "no-store"
    return response


def _signed_for_s(address: str, query: dict[str, Any]) -> int:
    """Return for how many seconds the request's signature counts from now on; 0 without a true one."""
    until = UNTIL.fullmatch(query["until"])
    if until is None:
        return 0
    signed = addresses.Signed(int(until[0]), query["signature"])
    return addresses.left_s(address, signed, current_runtime().secret)
