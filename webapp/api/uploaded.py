"""The picture of a request as the query of a search; nothing of it is kept."""

from __future__ import annotations

from mirada.search import queries
from mirada.search.queries import Query
from webapp.http import uploads
from webapp.http.current import current_runtime


def query_of_upload() -> Query:
    """Return the query for the request's one file; raises as `queries.of_picture` does."""
    upload = uploads.uploaded_file()
    path = uploads.staged_of(upload).path
    return queries.of_picture(current_runtime(), path, uploads.declared_media_type(upload))
