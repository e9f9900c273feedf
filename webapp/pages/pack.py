"""Pack: its pictures in their order, what suits it, and what its forms do, with a way back."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext
from werkzeug.exceptions import BadRequest

from mirada.batches import batches
from mirada.batches.doing import Asker, Name
from mirada.batches.wanted import Wanted
from mirada.kernel.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from mirada.kernel.keywords import cut_by_emojis, is_emoji
from mirada.packs import choices, members
from mirada.packs import packs as flows
from mirada.packs.export_jobs import EXPORT_PACK, queue_export
from mirada.packs.shown import shown_pack
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.errors import status_of
from webapp.pages import pack_importing
from webapp.pages.image_acts import field, number
from webapp.pages.pack_exporting import Check, checked, form_of_request, zipped
from webapp.pages.pack_view import (
    CHANGED,
    After,
    Told,
    address_of,
    chosen_told,
    moved_text,
    removed_text,
    shown,
    titled_told,
    undo_of_batch,
)
from webapp.pages.packs import said_of, written
from webapp.pages.shell import is_fragment, page

Reply = Any
_OF_EMOJIS = re.compile("emojis-[1-9][0-9]{0,17}")
"""Names of the fields with emojis of pictures, by the pictures' ids."""
WITH_SUGGESTIONS = (*CHANGED, "suggestions")


def register(blueprint: Blueprint) -> None:
    """Add the page, and what its forms do."""
    pack = "/packs/<id:pack_id>"
    blueprint.get(pack, endpoint="pack")(lambda pack_id: shown(pack_id))
    blueprint.get(f"{pack}/delete", endpoint="ask_to_delete_pack")(ask_to_delete)
    blueprint.post("/packs/import", endpoint="import_pack")(pack_importing.take_in)
    acts: dict[str, tuple[str, Any]] = {
        "delete_pack": ("/delete", delete),
        "pack_change": ("/change", change),
        "pack_title": ("/title", entitle),
        "pack_undo": ("/undo", undo),
        "pack_export": ("/export", export),
        "pack_export_later": ("/exports", export_later),
        "pack_image": ("/images/<id:image_id>", act_on),
        "pack_all_emojis": ("/emojis", mark_all),
        "pack_emojis": ("/images/<id:image_id>/emojis", mark),
        "pack_choice": ("/suggestions/<id:image_id>", choose),
        "pack_choice_undo": ("/suggestions/<id:image_id>/undo", undo_choice),
    }
    for endpoint, (path, act) in acts.items():
        blueprint.add_url_rule(f"{pack}{path}", endpoint, act, methods=["POST"])


def act_on(pack_id: int, image_id: int) -> Reply:
    """Move a picture, take it out, or make it the cover."""
    user, database = require_user(), current_runtime().database
    match field("do"):
        case "move":
            # Said from 1, as people count.
            at = max(0, number("to") - 1)
            members.change_member(database, pack_id, user.id, image_id, at=at)
            told = Told(moved_text(at + 1))
            return _done(pack_id, told, anchor=f"i{image_id}", moved=at + 1)
        case "remove":
            return _remove(pack_id, image_id)
        case "cover" | "no-cover" as wish:
            cover = image_id if wish == "cover" else None
            flows.change_pack(database, pack_id, user.id, {"cover_image_id": cover})
            return _done(pack_id, Told(gettext("Saved.")), anchor=f"i{image_id}", saved=1)
    raise BadRequest("do must be move, remove, cover or no-cover.")


def mark(pack_id: int, image_id: int) -> Reply:
    """Give a picture other emojis; where they are none it says so, and keeps what was typed."""
    user, text = require_user(), field("emojis")
    try:
        members.change_member(
            current_runtime().database, pack_id, user.id, image_id, emojis=cut_by_emojis(text)
        )
    except InvalidInput as error:
        name = f"emojis-{image_id}"
        refused = After(faults={name: error.detail}, typed={name: text}, status=status_of(error))
        return shown(pack_id, refused)
    return _done(pack_id, Told(gettext("Saved.")), anchor=f"i{image_id}", saved=1)


def mark_all(pack_id: int) -> Reply:
    """Give pictures the emojis that an export lacks, and look again what is left."""
    user, form = require_user(), form_of_request("export")
    typed = {name: text for name, text in request.form.items() if _OF_EMOJIS.fullmatch(name)}
    given = {int(name[7:]): cut_by_emojis(text) for name, text in typed.items() if text.strip()}
    try:
        # They are in it: nothing is added, and nothing moves.
        members.add_images(current_runtime().database, pack_id, user.id, list(given), emojis=given)
    except InvalidInput as error:
        wrong = next((each for each, emojis in given.items() if not all(map(is_emoji, emojis))), 0)
        check, _ = checked(pack_id, form, is_dry_run=True)
        faults = {f"emojis-{wrong}": error.detail}
        return shown(pack_id, After(faults=faults, typed=typed, status=422, check=check))
    return _done(pack_id, None, anchor=f"export-{form}", export=form)


def change(pack_id: int) -> Reply:
    """Change title, description, theme and visibility; refused where another tab did so meanwhile."""
    user = require_user()
    names = ("title", "description", "is_public", "theme")
    typed = {name: request.form.get(name, "") for name in names}
    fields = written(typed)
    if "theme" not in request.form:
        del fields["theme"]
    try:
        flows.change_pack(
            current_runtime().database,
            pack_id,
            user.id,
            fields,
            expected_version=number("version"),
        )
    except PreconditionFailed as error:
        told_so = gettext(
            "This pack was changed meanwhile, perhaps in another tab. What you wrote is still here: "
            "save it again to put it in place of what stands above."
        )
        return shown(pack_id, After(faults={"": told_so}, typed=typed, status=status_of(error)))
    except InvalidInput as error:
        return shown(pack_id, After(faults=said_of(error), typed=typed, status=status_of(error)))
    return _done(pack_id, Told(gettext("Saved.")), WITH_SUGGESTIONS, saved=1)


def entitle(pack_id: int) -> Reply:
    """Take a title that was suggested, or go back to the one before."""
    user, runtime = require_user(), current_runtime()
    with runtime.reading() as session:
        before = shown_pack(session, pack_id, current_caller().audience).title
    flows.change_pack(runtime.database, pack_id, user.id, {"title": field("title")})
    return _done(pack_id, titled_told(pack_id, before), WITH_SUGGESTIONS, was=before)


def choose(pack_id: int, image_id: int) -> Reply:
    """Take a suggestion into the pack, or reject it."""
    user, accepted = require_user(), field("accepted") == "1"
    choices.choose(current_runtime().database, pack_id, user.id, image_id, accepted=accepted)
    told = chosen_told(pack_id, image_id, accepted=accepted)
    more = {"chosen": image_id, "as": int(accepted)}
    return _done(pack_id, told, WITH_SUGGESTIONS, anchor="suggestions", **more)


def undo_choice(pack_id: int, image_id: int) -> Reply:
    """Undo what was decided about a suggestion."""
    user = require_user()
    # Sent twice it is no mistake; whether the pack is theirs to see is told below.
    with suppress(NotFound):
        choices.undo_choice(current_runtime().database, pack_id, user.id, image_id)
    told = Told(gettext("Undone, but for what was changed since."))
    return _done(pack_id, told, WITH_SUGGESTIONS, anchor="suggestions", undone=1)


def undo(pack_id: int) -> Reply:
    """Set back what was done to pictures of the pack, as far as nobody has changed it since."""
    user = require_user()
    asker = Asker(user.id, current_caller().is_administrator)
    batches.undo(current_runtime(), field("token"), asker, request_id())
    told = Told(gettext("Undone, but for what was changed since."))
    return _done(pack_id, told, WITH_SUGGESTIONS, undone=1)


def export(pack_id: int) -> Reply:
    """Give the ZIP, or the page with what keeps the pack from being exported."""
    check, made = checked(pack_id, form_of_request("format"), is_dry_run=False)
    if made is not None and made.file is not None:
        return zipped(made)
    return shown(pack_id, After(check=check, status=409))


def export_later(pack_id: int) -> Reply:
    """Have a job make the ZIP, for packs that take longer than anybody waits."""
    user, form, runtime = require_user(), form_of_request("format"), current_runtime()
    try:
        job_id = queue_export(runtime, pack_id, user.id, form, request_id())
    except Conflict as error:
        return shown(pack_id, After(check=Check(form, refusal=error.detail), status=409))
    runtime.doorbell.ring(job_id, EXPORT_PACK)
    return redirect(address_of(pack_id, anchor="export", made=job_id), 303)


def ask_to_delete(pack_id: int) -> Reply:
    """Ask whether the pack is to be gone."""
    require_user()
    with current_runtime().reading() as session:
        pack = shown_pack(session, pack_id, current_caller().audience)
    return page("pack_sure.html", title=gettext("Delete the pack"), here="pages.packs", pack=pack)


def delete(pack_id: int) -> Reply:
    """Delete the pack; its pictures stay."""
    user = require_user()
    flows.delete_pack(
        current_runtime().database,
        pack_id,
        user.id,
        is_administrator=current_caller().is_administrator,
    )
    return redirect(url_for("pages.packs", deleted=1), 303)


def _remove(pack_id: int, image_id: int) -> Reply:
    """Take a picture out: as a change of many that is one, whose undoing knows its place and emojis."""
    caller = current_caller()
    asker = Asker(require_user().id, caller.is_administrator)
    wanted = Wanted(Name.REMOVE_FROM_PACK, pack_id, (image_id,))
    outcome = batches.change_many(current_runtime(), wanted, asker, request_id())
    if outcome.undo is None:
        # Another tab was quicker.
        return _done(pack_id, None, WITH_SUGGESTIONS)
    told = undo_of_batch(pack_id, outcome.undo, removed_text(1))
    return _done(pack_id, told, WITH_SUGGESTIONS, removed=outcome.undo)


def _done(
    pack_id: int,
    told: Told | None,
    parts: tuple[str, ...] = CHANGED,
    *,
    anchor: str | None = None,
    **said: Any,
) -> Reply:
    """Answer a form that has done what it was to do."""
    if is_fragment():
        return shown(pack_id, After(told=told, parts=parts))
    return redirect(address_of(pack_id, anchor=anchor, **said), 303)
