"""The trash: what one has deleted, to take back, or to erase before its time. Everybody sees their own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext, ngettext

from mirada.kernel.errors import NotFound
from mirada.pictures import image_lists, images, trash
from mirada.pictures.image_lists import Place, Sort
from mirada.pictures.shown_images import ShownImage
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import cursor_after, value_and_row_id_of
from webapp.pages.image_deletion import sure_page, take_back, trashed
from webapp.pages.shell import page
from webapp.pages.tiles import Tile

HERE = "pages.trash"
PICTURES = 48
"""Of one page."""


@dataclass(frozen=True, slots=True)
class Trashed:
    """A picture in the trash.

    Attributes:
        tile: the picture.
        gone_at: from when on it is erased.
        is_due: whether that is now.
    """

    tile: Tile
    gone_at: datetime
    is_due: bool


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""
    blueprint.get("/trash", endpoint="trash")(show)
    blueprint.post("/trash/<id:image_id>/restore")(restore_from_trash)
    blueprint.get("/trash/<id:image_id>/erase")(ask_to_erase)
    blueprint.post("/trash/<id:image_id>/erase")(erase_from_trash)
    blueprint.get("/trash/empty")(ask_to_empty_trash)
    blueprint.post("/trash/empty")(empty_trash)


def show() -> Any:
    """One's own trash, what was deleted last first."""
    require_user()
    scope, cursor = scope_of_caller(in_trash=True), request.args.get("cursor")
    found = value_and_row_id_of(cursor)
    after = None if found is None else Place(found[1], found[0])
    with current_runtime().reading() as session:
        rows = image_lists.list_images(
            session, scope, sort=Sort.TRASHED, after=after, limit=PICTURES + 1
        )
        total = image_lists.total(session, scope)
    if not rows and cursor is not None:
        # What stood on this page has gone meanwhile.
        return redirect(_here(cursor=None), 303)
    shown, following = rows[:PICTURES], None
    if len(rows) > PICTURES:
        last = image_lists.place_of(shown[-1], Sort.TRASHED)
        following = _here(cursor=cursor_after(last.image_id, last.value))
    return page(
        "trash.html",
        title=gettext("Trash"),
        here=HERE,
        shown=[_trashed(image) for image in shown],
        total=total,
        days=current_runtime().settings.trash_days,
        cursor=cursor,
        following=following,
        restored=_restored(),
        was_erased="erased" in request.args,
    )


def restore_from_trash(image_id: int) -> Any:
    """Take a picture out of one's trash."""
    take_back(image_id, require_user().id)
    return redirect(_here(restored=image_id), 303)


def ask_to_erase(image_id: int) -> Any:
    """Ask whether a picture in one's trash is to be gone for good."""
    require_user()
    tile = trashed(image_id)
    if tile is None:
        raise images.absent(image_id)
    cursor = request.args.get("cursor")
    action = url_for("pages.erase_from_trash", image_id=image_id, cursor=cursor)
    return sure_page(gettext("Erase for good"), action, _here(), tile=tile)


def erase_from_trash(image_id: int) -> Any:
    """Erase a picture in one's trash; one that was restored meanwhile stays."""
    user, erased = require_user(), None
    # Another tab may have been quicker.
    with suppress(NotFound):
        trash.erase_own(current_runtime(), image_id, user.id)
        erased = 1
    return redirect(_here(erased=erased), 303)


def ask_to_empty_trash() -> Any:
    """Ask whether everything in one's trash is to be gone for good."""
    require_user()
    with current_runtime().reading() as session:
        total = image_lists.total(session, scope_of_caller(in_trash=True))
    here = url_for(HERE)
    if not total.value:
        return redirect(here, 303)
    told = ngettext(
        "%(num)s picture is gone for good, at once. This cannot be undone.",
        "%(num)s pictures are gone for good, at once. This cannot be undone.",
        total.value,
    )
    if not total.is_exact:
        told = gettext("All that is in it is gone for good, at once. This cannot be undone.")
    return sure_page(gettext("Empty the trash"), url_for("pages.empty_trash"), here, told=told)


def empty_trash() -> Any:
    """Erase everything in one's trash."""
    trash.empty(current_runtime(), require_user().id, request_id())
    return redirect(url_for(HERE), 303)


def _here(**more: Any) -> str:
    """Return the address of the page of the trash that the request is about; `more` changes it."""
    return url_for(HERE, **{"cursor": request.args.get("cursor"), **more})


def _trashed(image: ShownImage) -> Trashed:
    assert image.trashed_at is not None
    gone_at = trash.gone_at(image.trashed_at, current_runtime().settings.trash_days)
    return Trashed(Tile(image), gone_at, is_due=gone_at <= datetime.now(UTC))


def _restored() -> int | None:
    """Return the id of the picture that was just restored; None for none that is the caller's."""
    image_id = request.args.get("restored", type=int)
    if image_id is None:
        return None
    try:
        with current_runtime().reading() as session:
            own = current_caller().audience.own_alone()
            return images.see_image(session, image_id, own).id
    except NotFound:
        return None
