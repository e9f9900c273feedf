"""Pictures of a request, as encoders and searches take them; nothing of them is kept."""

from __future__ import annotations

from werkzeug.datastructures import FileStorage

from mirada.kernel.images import RgbImage
from mirada.ports import CalibratedEncoder
from mirada.search import queries
from mirada.search.queries import Query
from webapp.http import uploads
from webapp.http.current import current_runtime


def query_of_upload() -> Query:
    """Return the query for the request's one file; raises as `queries.of_picture` does."""
    upload = uploads.uploaded_file()
    path = uploads.staged_of(upload).path
    return queries.of_picture(current_runtime(), path, uploads.declared_media_type(upload))


def pixels_of_upload(encoder: CalibratedEncoder, upload: FileStorage) -> RgbImage:
    """Return one file as the encoder takes it; raises as `queries.pixels_of` does."""
    path, declared = uploads.staged_of(upload).path, uploads.declared_media_type(upload)
    return queries.pixels_of(current_runtime(), encoder, path, declared)
