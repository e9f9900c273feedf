"""Uploads: files are streamed into the staging area of the image store, and hashed meanwhile."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import IO, Any

from flask import Flask, Request, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import UnsupportedMediaType

from mirada.config import Settings
from mirada.kernel.errors import ImageTooLarge, InvalidInput, UnsupportedImage
from mirada.ports import StagedFile
from mirada.search import queries
from mirada.search.queries import Query, QueryKind
from mirada.search.request import Part, SentPicture
from webapp.http import multipart, unknown
from webapp.http.current import current_runtime

FORM_ALLOWANCE_BYTES = 1024 * 1024
"""What a request may hold beside the file: boundaries, captions, prompts."""
MAX_FORM_PARTS = 64
"""Parts of a multipart body; the largest batch that is accepted has 32 files."""
SMALL_BODY_BYTES = 1024 * 1024
"""JSON, and whatever else is no file: a thousand labels and a vector of 4,096 numbers are 120 KB."""


WINDOWS_PATH = re.compile(r';\s*filename="((?:[A-Za-z]:\\|\\\\)[^"]*)"', re.IGNORECASE)
"""A whole path where a name belongs: older browsers send one, newer ones "C:\\fakepath\\NAME"."""


class UploadStream(io.RawIOBase):
    """A staged file with an upper limit, which the multipart parser writes a file part into."""

    def __init__(self, staged: StagedFile, max_bytes: int) -> None:
        """Wrap a staged file that may not grow beyond `max_bytes`."""
        super().__init__()
        self.staged = staged
        self._max_bytes = max_bytes

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Write on. Raises ImageTooLarge at the limit, StorageFull or Unavailable from the store."""
        if self.staged.byte_size + len(data) > self._max_bytes:
            raise ImageTooLarge(
                f"The file is larger than {self._max_bytes // 1024**2} MB, the most that is "
                "accepted (MAX_UPLOAD_MB)."
            )
        self.staged.stream.write(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Flush: the parser rewinds at a part's end, and nobody reads through this object."""
        self.staged.stream.flush()
        return self.staged.byte_size


class StreamingRequest(Request):
    """A request whose file parts are never spooled to the system's temporary folder."""

    max_form_parts = MAX_FORM_PARTS

    def __init__(
        self, environ: dict[str, Any], populate_request: bool = True, shallow: bool = False
    ) -> None:
        """Take a request; a body shorter than its length is the client's early end, which is 400."""
        # Gunicorn promises an end of the stream, also where the client went away in the middle.
        if environ.get("CONTENT_LENGTH"):
            environ.pop("wsgi.input_terminated", None)
        super().__init__(environ, populate_request, shallow)

    @property
    def max_content_length(self) -> int | None:
        """The most bytes that this body may have, by its content type."""
        return body_limit(self.content_type or "", current_runtime().settings)

    @max_content_length.setter
    def max_content_length(self, value: int | None) -> None:
        raise AttributeError("body_limit says what a body may have.")

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        runtime = current_runtime()
        stream = UploadStream(runtime.image_store.stage(), runtime.settings.max_upload_bytes)
        self.staged_streams.append(stream)
        return stream  # type: ignore[return-value]

    @property
    def staged_streams(self) -> list[UploadStream]:
        """Every file that this request began to receive."""
        streams: list[UploadStream] = self.__dict__.setdefault("_staged_streams", [])
        return streams


def body_limit(content_type: str, settings: Settings) -> int:
    """Return the most bytes that a body of a content type may have.

    Args:
        content_type: the header's value, "" for none.
        settings: with MAX_UPLOAD_MB, which counts for multipart/form-data alone.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return settings.max_upload_bytes + FORM_ALLOWANCE_BYTES
    return SMALL_BODY_BYTES


def register(app: Flask) -> None:
    """Limit bodies, stream file parts, and discard staged files after the request."""
    app.request_class = StreamingRequest
    multipart.install()
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    app.before_request(_refuse_packed)
    app.teardown_request(_discard_leftovers)


def uploaded_files(field: str = "file", *, at_most: int = 1) -> list[FileStorage]:
    """Return the file parts named `field`, at least one.

    Raises:
        UnsupportedImage: the body is not multipart/form-data.
        InvalidInput: no such part, too many of them, or file parts of other names where they are
            not ignored.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedImage(
            f"Send the picture as multipart/form-data with a part named '{field}', for example "
            f"curl -F {field}=@picture.jpg."
        )
    files = request.files.getlist(field)
    others = sorted(set(request.files) - {field})
    if others and files and unknown.are_ignored():
        unknown.check("file", others, {field})
    elif others:
        _refuse(field, f"Files belong into the part '{field}', not '{others[0]}'.")
    if not files:
        # A part without a filename is a text field, whatever its content.
        has_text = field in request.form
        _refuse(
            field,
            f"The part '{field}' has no filename, so it is not a file; send it as one."
            if has_text
            else f"The part '{field}' with the picture is missing.",
        )
    if len(files) > at_most:
        _refuse(field, f"Send at most {at_most} file{'s' if at_most > 1 else ''} in one request.")
    return files


def uploaded_file(field: str = "file") -> FileStorage:
    """Return the one file part of the request; raises as `uploaded_files` does."""
    return uploaded_files(field)[0]


def staged_of(upload: FileStorage) -> StagedFile:
    """Return the staged file that an upload was written to."""
    stream = upload.stream
    assert isinstance(stream, UploadStream)
    return stream.staged


def declared_media_type(upload: FileStorage) -> str | None:
    """Return the type the client declared, None where it only said "bytes" or nothing."""
    declared = (upload.mimetype or "").lower()
    return None if declared in {"", "application/octet-stream"} else declared


def sent_filename(upload: FileStorage) -> str | None:
    """Return the name that the client gave a file, without the folders of its own machine."""
    disposition = upload.headers.get("Content-Disposition", "")
    # Werkzeug takes the backslashes of such a path for signs that protect what follows them.
    path = None if "filename*" in disposition else WINDOWS_PATH.search(disposition)
    return upload.filename if path is None else path[1].rpartition("\\")[2]


def query_of_upload() -> Query:
    """Return the request's one file as a vector; raises as `queries.of_picture` does."""
    sent = _sent_picture(uploaded_file())
    return queries.of_picture(current_runtime(), sent.path, sent.declared_media_type)


def part_of_upload() -> Part:
    """Return the request's one file as a part of a query; raises as `uploaded_files` does."""
    return Part(QueryKind.PICTURE, _sent_picture(uploaded_file()))


def parts_of_uploads(names: Sequence[str]) -> dict[str, SentPicture]:
    """Return the request's files by the names of their parts, each of which a query names.

    Raises:
        InvalidInput: a named one was not sent, one was sent twice, or one has no name in the query.
    """
    for name in names:
        if len(request.files.getlist(name)) != 1:
            message = (
                f"The query names the file part '{name[:100]}'; send exactly one of that name"
                + (
                    "."
                    if request.mimetype == "multipart/form-data"
                    else ", as multipart/form-data. A kept query picture is named by its id, a number."
                )
            )
            raise InvalidInput(message, fields={"query": [message]})
    others = sorted(set(request.files) - set(names))
    if others:
        _refuse("query", f"No part of the query names the file part '{others[0][:100]}'.")
    return {name: _sent_picture(request.files[name]) for name in names}


def _sent_picture(upload: FileStorage) -> SentPicture:
    return SentPicture(staged_of(upload).path, declared_media_type(upload))


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, fields={field: [message]})


def _refuse_packed() -> None:
    """Raise UnsupportedMediaType (415) for a body that is packed, which would be read as it is."""
    packed = request.headers.get("Content-Encoding", "").strip().lower()
    has_body = request.content_length or "Transfer-Encoding" in request.headers
    if packed not in ("", "identity") and has_body:
        raise UnsupportedMediaType(
            "Bodies are taken as they are, not packed. Send this one without Content-Encoding."
        )


def _discard_leftovers(_error: BaseException | None) -> None:
    for stream in getattr(request, "staged_streams", ()):
        stream.staged.discard()
