"""Add: pictures into the library, by a queue that a script keeps or by a plain form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import FileStorage

from mirada.kernel.errors import MiradaError
from mirada.pictures.intake import take_in
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.current import current_runtime, request_id
from webapp.pages.shell import page

MOST_FILES = 60
"""That one form may send; a request has room for a few more parts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Attributes:
        name: of the file, as it was sent.
        image_id: the image; None where the file was refused.
        was_there: whether the image was there before.
        reason: of a refusal.
    """

    name: str
    image_id: int | None = None
    was_there: bool = False
    reason: str | None = None


def register(blueprint: Blueprint) -> None:
    """Add the page, and where phones share into."""

    @blueprint.get("/add")
    def add() -> Response:
        """The form, which a script makes a queue of."""
        require_user()
        return _page([])

    @blueprint.post("/add", endpoint="add_files")
    def add_files() -> Response:
        """What became of each file."""
        return _added()

    @blueprint.post("/share")
    def share() -> Response:
        """Pictures that another program of a phone or desk hands over; see manifest.webmanifest."""
        return _added()

    @blueprint.get("/share", endpoint="shared_before")
    def shared_before() -> Any:
        """Where reloading the page of what was shared leads."""
        return redirect(url_for("pages.add"), 303)


def _added() -> Response:
    user = require_user()
    sent = uploads.uploaded_files(at_most=MOST_FILES)
    is_public = request.form.get("is_public") == "true"
    # A form without a chosen file sends one without a name.
    files = [one for one in sent if uploads.staged_of(one).byte_size or one.filename]
    prompt = request.form.get("prompt", "").strip() or None
    return _page([_taken(one, user.id, prompt, is_public=is_public) for one in files])


def _taken(upload: FileStorage, owner_id: int, prompt: str | None, *, is_public: bool) -> Outcome:
    name = uploads.sent_filename(upload) or ""
    try:
        taken = take_in(
            current_runtime(),
            uploads.staged_of(upload),
            NewImage(owner_id, Texts(name, prompt), is_public=is_public, is_once_per_owner=True),
            # Browsers go by the name's ending, and people rename files: the bytes say what they are.
            FileClaims(),
            request_id=request_id(),
        )
    except MiradaError as refusal:
        return Outcome(name, reason=refusal.detail)
    return Outcome(name, taken.image_id, taken.was_there)


def _page(outcomes: list[Outcome]) -> Response:
    settings = current_runtime().settings
    return page(
        "add.html",
        title=gettext("Add pictures"),
        here="pages.add",
        outcomes=outcomes,
        is_answer=request.method == "POST",
        most_bytes=settings.max_upload_bytes,
        most_files=MOST_FILES,
    )
