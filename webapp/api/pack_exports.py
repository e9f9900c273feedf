"""Packs as ZIPs; on the blueprint of packs."""

from __future__ import annotations

from typing import Any

from flask import send_file

from mirada.kernel.errors import Conflict
from mirada.packs.export_jobs import EXPORT_PACK, queue_export, read_export
from mirada.packs.exporting import export_pack, in_words
from webapp.api.packs import blueprint
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import header
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.schemas.pack_exports import (
    CHECKED_EXAMPLE,
    CheckedExportSchema,
    PackExportSchema,
    QueuedExportSchema,
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
        said = in_words(made.faults, MOST_TOLD)
        raise Conflict(f"The pack cannot be exported. {' '.join(said)}", fields={"pack": said})
    return send_file(
        made.file, mimetype="application/zip", as_attachment=True, download_name=made.name
    )


@blueprint.post("/<id:pack_id>/exports")
@blueprint.operation(
    "queuePackExport", "Have a pack exported by a job", refusals=(400, 403, 404, 409, 415, 422)
)
@blueprint.arguments(QueuedExportSchema, example={"format": "signal"})
@blueprint.response(202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job.")})
def queue(fields: dict[str, Any], pack_id: int) -> Any:
    """For packs that are too large to wait for: as many stickers as the messenger takes.

    Once the job is done, its `result.file_url` is the ZIP, for whoever asked, for a day. What the
    messenger would not take ends the job, each picture at fault named in its error. Asked for again
    while it is made, it is the same job.
    """
    user = require_user()
    job_id = queue_export(current_runtime(), pack_id, user.id, fields["format"], request_id())
    return queued(job_id, EXPORT_PACK, user)


@blueprint.get("/exports/<id:job_id>")
@blueprint.operation("getPackExport", "Get the ZIP that a job has made", refusals=(404, 409, 410))
@blueprint.response(200, content_type="application/zip")
def get_export(job_id: int) -> Any:
    """For whoever asked for it, until a day after it was made; the ten newest of each person are kept.

    410 also where a picture in it, or the pack, was deleted or hidden since: ask for it again.
    """
    user = require_user()
    made = read_export(current_runtime(), job_id, user.id)
    return send_file(
        made.path, mimetype="application/zip", as_attachment=True, download_name=made.name
    )
