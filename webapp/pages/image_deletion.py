"""Delete on the page of an image: into the trash, with a way back; where there is no trash it asks first."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request, url_for
from flask_babel import gettext

from mirada.kernel.audience import Audience
from mirada.kernel.errors import Conflict, NotFound
from mirada.pictures import images, trash
from mirada.pictures.shown_images import ShownImage
from mirada.pictures.trash import Asker
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.current import current_runtime, request_id
from webapp.pages.image_address import page_of_request
from webapp.pages.shell import page
from webapp.pages.tiles import Tile


def delete(image_id: int) -> Any:
    """Put one's own image into the trash and lead back to the list, which offers to undo it.

    With TRASH_DAYS=0 it is erased, and only by the form of the page that asks.
    """
    asker, asked, runtime = Asker(require_user().id), page_of_request(image_id), current_runtime()
    has_trash = bool(runtime.settings.trash_days)
    if not has_trash and "sure" not in request.form:
        return redirect(asked.act("ask_to_delete"), 303)
    try:
        trash.remove(runtime, image_id, asker)
    except NotFound:
        # Another tab may have been quicker.
        if trashed(image_id) is None:
            raise
    return redirect(asked.list.after_deleting(image_id) if has_trash else asked.list.here, 303)


def remove_from_others(image_id: int) -> Any:
    """Put somebody else's public picture into their trash, with a reason. For administrators."""
    asker = Asker(require_administrator().id, is_administrator=True)
    if not current_runtime().settings.trash_days:
        raise Conflict(gettext("There is no trash here: hide the picture instead."))
    reason = request.form.get("reason", "").strip() or None
    trash.remove(current_runtime(), image_id, asker, reason=reason)
    return redirect(url_for("pages.explore"), 303)


def ask_to_delete(image_id: int) -> Any:
    """Ask whether one's own image is to be gone for good; where there is a trash nothing is asked."""
    user, asked, runtime = require_user(), page_of_request(image_id), current_runtime()
    tile = _own(image_id, current_caller().audience.own_alone(), user.id)
    here = asked.with_()
    if runtime.settings.trash_days:
        return redirect(here, 303)
    return sure_page(gettext("Delete for good"), asked.act("delete"), here, tile=tile)


def undo(image_id: int) -> Any:
    """Take one's own image out of the trash, and lead to its place in the list."""
    user, asked = require_user(), page_of_request(image_id)
    take_back(image_id, user.id)
    return redirect(asked.back, 303)


def take_back(image_id: int, owner_id: int) -> None:
    """Take an image out of its owner's trash; it is no mistake where another tab has done so.

    Raises:
        NotFound: it is neither there nor in the library.
    """
    runtime = current_runtime()
    try:
        trash.restore(runtime, image_id, Asker(owner_id), request_id())
    except NotFound:
        with runtime.reading() as session:
            images.see_image(session, image_id, current_caller().audience.own_alone())


def trashed(image_id: int | None) -> Tile | None:
    """Return an image in the caller's trash; None where it is not there."""
    caller = current_caller()
    if image_id is None or caller.user_id is None:
        return None
    try:
        return _own(image_id, caller.audience.own_trash(), caller.user_id)
    except NotFound:
        return None


def sure_page(
    title: str, action: str, keep: str, *, told: str | None = None, tile: Tile | None = None
) -> Response:
    """Return a page that asks whether something is to be gone for good.

    Args:
        title: what would be done; the button says it as well.
        action: where its form is sent.
        keep: the address that leads away.
        told: what would be gone; None for what is said of one picture.
        tile: the picture.
    """
    said = told or gettext(
        "The picture goes with its likes, comments and tags, at once. This cannot be undone."
    )
    return page(
        "trash_sure.html", title=title, here="", action=action, keep=keep, told=said, tile=tile
    )


def _own(image_id: int, audience: Audience, user_id: int) -> Tile:
    with current_runtime().reading() as session:
        row = images.get_image(session, image_id, audience)
        return Tile(ShownImage.of(row, user_id, liked=False))
