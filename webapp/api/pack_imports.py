"""Packs that come in as ZIPs; on the blueprint of packs."""

from __future__ import annotations

from typing import Any

from mirada.packs.importing import WantedPack, import_pack
from webapp.api.packs import ETAG_HEADER, blueprint, tag_of
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.creations import idempotency_key, made_headers, once_parameters
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import multipart_body, multipart_fields
from webapp.schemas.pack_imports import (
    IMPORTED_EXAMPLE,
    ImportedPackSchema,
    PackImportFieldsSchema,
    PackImportSchema,
    imported_body,
)


@blueprint.post("/import")
@blueprint.operation(
    "importPack",
    "Make a pack of a ZIP",
    refusals=(400, 403, 409, 413, 415, 422),
    parameters=once_parameters("one key makes one pack"),
    requestBody=multipart_body(PackImportSchema, file="@cats.wastickers", tags="cat"),
)
@blueprint.response(
    201,
    ImportedPackSchema,
    example=IMPORTED_EXAMPLE,
    headers={**made_headers("Where the pack is.", "made the pack"), **ETAG_HEADER},
)
def import_one() -> Any:
    """Order, title, cover and emojis come along, from the ZIP's list or what WhatsApp wrote into a WebP.

    Each file is taken in or refused by itself. A picture that you have already is used and not made
    twice. Where nothing can be taken, no pack is made. Sent again after a failure, it goes on; sent again
    with the same Idempotency-Key, it makes no second pack.
    """
    user = require_user()
    fields = multipart_fields(PackImportFieldsSchema)
    sent = uploads.uploaded_file()
    wanted = WantedPack(
        user.id,
        uploads.sent_filename(sent) or "",
        fields["title"],
        fields["identifier"],
        is_public=fields["is_public"],
        auto_caption=fields["auto_caption"],
        tags=fields["tags"],
    )
    imported = import_pack(
        current_runtime(),
        uploads.staged_of(sent),
        wanted,
        request_id=request_id(),
        key=idempotency_key(),
    )
    body = imported_body(imported)
    replayed = {"Idempotent-Replayed": "true"} if imported.was_replayed else {}
    return body, 201, {"Location": body["pack"]["url"], **tag_of(imported.pack), **replayed}
