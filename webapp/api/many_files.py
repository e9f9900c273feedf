"""Several pictures in one upload; on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask import url_for

from mirada.pictures.many import MOST_FILES, Sent, take_in_many
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from webapp.api.images import blueprint
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import multipart_body, multipart_fields
from webapp.schemas.many_files import (
    FILES_EXAMPLE,
    FileOutcomesSchema,
    ManyFilesFieldsSchema,
    ManyFilesSchema,
    files_body,
)


@blueprint.post("/files")
@blueprint.operation(
    "createImages",
    "Upload several pictures",
    refusals=(400, 403, 413, 415, 422),
    requestBody=multipart_body(ManyFilesSchema, files=["@cat.png", "@dogs.zip"], tags="cat"),
)
@blueprint.response(207, FileOutcomesSchema, example=FILES_EXAMPLE)
def create_images() -> Any:
    """Each is taken in or refused by itself, in the order that they were sent; a ZIP is unpacked.

    One that you have already is not made twice. All together may be as large as one upload
    (MAX_UPLOAD_MB), and the files of a ZIP four times that, unpacked. The other fields count for each.
    """
    user = require_user()
    fields = multipart_fields(ManyFilesFieldsSchema)
    files = uploads.uploaded_files("files", at_most=MOST_FILES)
    outcomes = take_in_many(
        current_runtime(),
        [Sent(uploads.sent_filename(each) or "", uploads.staged_of(each)) for each in files],
        NewImage(
            user.id,
            Texts(None, fields["prompt"], fields["caption"]),
            is_public=fields["is_public"],
            auto_caption=fields["auto_caption"],
            is_once_per_owner=True,
            tags=fields["tags"],
        ),
        FileClaims(read_metadata=fields["read_metadata"]),
        request_id(),
    )
    return files_body(outcomes, url_for("images.list_images")), 207
