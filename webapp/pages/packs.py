"""Packs: those that one may see, and the page that makes one, by hand or of what Explore shows."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext, lazy_gettext
from marshmallow import validate

from mirada.kernel.errors import InvalidInput, MiradaError
from mirada.kernel.ids import LARGEST_ID
from mirada.packs import members, shown
from mirada.packs import packs as flows
from mirada.packs.collages import collages
from mirada.packs.limits import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS
from mirada.packs.shown import ShownPack, Wanted
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.errors import status_of
from webapp.http.paging import cursor_after, row_id_of
from webapp.http.rest import ApiParser
from webapp.pages.explore_address import LIBRARY, ExploreAddress, ExploreSchema, address_of
from webapp.pages.pack_search import query_of
from webapp.pages.shell import page
from webapp.pages.tiles import Tile

HERE = "pages.packs"
PACKS = 24
"""Of one page."""
SHOWN: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "all": (lazy_gettext("All packs"), {}),
    "mine": (lazy_gettext("My packs"), {"own_alone": True}),
    "public": (lazy_gettext("Public packs"), {"is_public": True}),
}


@dataclass(frozen=True, slots=True)
class Card:
    """A pack in the list, with the pictures that show what is in it."""

    pack: ShownPack
    tiles: Sequence[Tile]


class NewPackPageSchema(ExploreSchema):
    """The parameters of the page that makes a pack: of what Explore shows, or with one picture."""

    picture = ma.fields.Integer(load_default=None, validate=validate.Range(1, LARGEST_ID))


def register(blueprint: Blueprint) -> None:
    """Add the pages."""
    blueprint.get("/packs", endpoint="packs")(listed)
    blueprint.get("/packs/new", endpoint="new_pack")(ask_for_new)
    blueprint.post("/packs/new", endpoint="make_pack")(make)


def listed() -> Any:
    """The packs that one may see, the newest first."""
    which = request.args.get("show", "all")
    text = " ".join(request.args.get("title", "").split())[:MAX_TITLE_CHARACTERS]
    if which not in SHOWN or (which == "mine" and current_caller().user_id is None):
        return redirect(url_for(HERE, title=text or None), 303)
    audience, runtime = current_caller().audience, current_runtime()
    wanted, cursor = Wanted(title=text, **SHOWN[which][1]), row_id_of(request.args.get("cursor"))
    with runtime.reading() as session:
        rows = shown.list_packs(session, audience, wanted, cursor=cursor, limit=PACKS + 1)
    found = rows[:PACKS]
    pictures = collages(runtime, found, audience)
    here: dict[str, Any] = {"show": None if which == "all" else which, "title": text or None}
    following = None
    if len(rows) > PACKS:
        following = url_for(HERE, **here, cursor=cursor_after(found[-1].id))
    return page(
        "packs.html",
        title=gettext("Packs"),
        here=HERE,
        cards=[Card(pack, [Tile(image) for image in pictures[pack.id]]) for pack in found],
        shown=SHOWN,
        which=which,
        text=text,
        following=following,
        was_deleted="deleted" in request.args,
    )


def ask_for_new() -> Any:
    """The form of a new pack."""
    require_user()
    address, picture_id = _asked()
    return _form(address, picture_id, {"title": address.words})


def make() -> Any:
    """Make the pack, and lead to it."""
    user, runtime = require_user(), current_runtime()
    address, picture_id = _asked()
    typed = {name: request.form.get(name, "") for name in ("title", "description", "is_public")}
    typed["theme"] = request.form.get("theme", "")
    fields: dict[str, Any] = written(typed)
    query = query_of(address)
    if query is not None:
        fields["query"] = query
    try:
        made = flows.make_pack(
            runtime.database, user.id, fields, key=request.form.get("once") or None
        )
        if picture_id is not None:
            members.add_images(runtime.database, made.pack.id, user.id, [picture_id])
    except MiradaError as error:
        return _form(address, picture_id, typed, error)
    return redirect(url_for("pages.pack", pack_id=made.pack.id), 303)


def written(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed into the form of a pack, as packs are changed by it."""
    return {
        "title": typed["title"],
        "description": typed["description"].strip() or None,
        "is_public": typed["is_public"] == "1",
        "theme": typed["theme"].strip() or None,
    }


def said_of(error: MiradaError) -> dict[str, str]:
    """Return why the form of a pack was refused, by the field at fault; "" for the whole."""
    known = {
        "title": gettext(
            "A title is one line of 1 to %(most)s characters.", most=MAX_TITLE_CHARACTERS
        ),
        "description": gettext(
            "A description has %(most)s characters at most.", most=MAX_DESCRIPTION_CHARACTERS
        ),
        "theme": error.detail,
    }
    at_fault = [name for name in known if name in (error.fields or {})]
    if isinstance(error, InvalidInput) and at_fault:
        return {name: known[name] for name in at_fault}
    return {"": error.detail}


def _asked() -> tuple[ExploreAddress, int | None]:
    fields = ApiParser().parse(NewPackPageSchema, request, location="query", unknown=ma.RAISE)
    return address_of(fields), fields["picture"]


def form_of_import(reason: str, status: int) -> Any:
    """Return the page that makes packs, with the reason why a ZIP was refused."""
    return _form(LIBRARY, None, {}, refused_zip=reason, status=status)


def _form(
    address: ExploreAddress,
    picture_id: int | None,
    typed: Mapping[str, str],
    error: MiradaError | None = None,
    *,
    refused_zip: str | None = None,
    status: int = 200,
) -> Any:
    query = query_of(address)
    reply = page(
        "pack_new.html",
        title=gettext("Save as a pack") if query else gettext("New pack"),
        here=HERE,
        address=address,
        fills_itself=query is not None,
        picture_id=picture_id,
        texts=typed,
        faults={} if error is None else said_of(error),
        once=request.form.get("once") or secrets.token_urlsafe(16),
        takes_zip=query is None and picture_id is None,
        refused_zip=refused_zip,
        most_bytes=current_runtime().settings.max_upload_bytes,
    )
    reply.status_code = status if error is None else status_of(error)
    return reply
