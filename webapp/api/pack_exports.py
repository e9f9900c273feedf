"""Packs as ZIPs; on the blueprint of packs."""

from __future__ import annotations

from typing import Any

from flask import send_file

from mirada.kernel.errors import Conflict
from mirada.packs.exporting import export_pack
from webapp.api.packs import blueprint
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.schemas.pack_exports import (
    CHECKED_EXAMPLE,
    CheckedExportSchema,
    PackExportSchema,
    checked_body,
)

MOST_TOLD = 20
"""Faults that a refusal names; a dry run has all."""


@blueprint.post("/<id:pack_id>/export")
@blueprint.operation("exportPack", "Get a pack as a ZIP", refusals=(400, 404, 409, 413, 415, 422))
@blueprint.arguments(PackExportSchema, example={"format": "whatsapp", "dry_run": True})
@blueprint.alt_response(
    200, schema=CheckedExportSchema, description="With `dry_run`.", example=CHECKED_EXAMPLE
)
@blueprint.response(200, content_type="application/zip")
def export(fields: dict[str, Any], pack_id: int) -> Any:
    """With the pictures that the caller sees: originals of their own, and copies of others'.

    For a messenger every picture becomes a sticker: of its size, clear around the picture, moving where
    it moves, its quality lowered until it fits. What the messenger would not take is refused, each
    picture at fault named.
    """
    require_user()
    made = export_pack(
        current_runtime(),
        pack_id,
        current_caller().audience,
        fields["format"],
        is_dry_run=fields["dry_run"],
    )
    if fields["dry_run"]:
        return CheckedExportSchema().dump(checked_body(made))
    if made.faults or made.file is None:
        said = [
            each.reason
            if each.place is None
            else f"Picture {each.place} ({each.image_id}): {each.reason}"
            for each in made.faults[:MOST_TOLD]
        ]
        raise Conflict(f"The pack cannot be exported. {' '.join(said)}", fields={"pack": said})
    return send_file(
        made.file, mimetype="application/zip", as_attachment=True, download_name=made.name
    )
