"""What was done: by administrators and keys, for administrators; what concerns oneself, for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.kernel.conditions import moment_of
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.people import audit, users
from mirada.people.audit import Action, Entry, Via, Wanted
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages.shell import page

ENTRIES = 50
"""Of one page."""
ACTIONS: Mapping[Action, Any] = {
    Action.USER_MAKE: lazy_gettext("A user was made"),
    Action.USER_ROLE: lazy_gettext("A role was changed"),
    Action.USER_QUOTA: lazy_gettext("A quota was changed"),
    Action.USER_END: lazy_gettext("A user was ended"),
    Action.KEY_MAKE: lazy_gettext("A key was made"),
    Action.KEY_REPLACE: lazy_gettext("A key was replaced"),
    Action.KEY_REVOKE: lazy_gettext("A key was revoked"),
    Action.LINK_MAKE: lazy_gettext("A link to sign in was made"),
    Action.LINK_USE: lazy_gettext("Signed in by a link"),
    Action.IMAGE_HIDE: lazy_gettext("A picture was hidden"),
    Action.IMAGE_SHOW: lazy_gettext("A picture was shown again"),
    Action.IMAGE_DELETE: lazy_gettext("A picture was put into the trash"),
    Action.IMAGE_ERASE: lazy_gettext("A picture was erased"),
    Action.IMAGE_RESTORE: lazy_gettext("A picture was taken out of the trash"),
    Action.IMAGE_TAG: lazy_gettext("Tags of a picture were changed"),
    Action.COMMENT_DELETE: lazy_gettext("A comment was deleted"),
    Action.VERDICT_DELETE: lazy_gettext("A verdict was taken back"),
    Action.PACK_DELETE: lazy_gettext("A pack was deleted"),
    Action.LABELS_PUT: lazy_gettext("A label was written"),
    Action.LABELS_DELETE: lazy_gettext("A label was removed"),
    Action.LABELS_RESET: lazy_gettext("The built-in labels were put in force"),
    Action.STYLES_PUT: lazy_gettext("A style was written"),
    Action.STYLES_DELETE: lazy_gettext("A style was removed"),
    Action.STYLES_RESET: lazy_gettext("The built-in styles were put in force"),
    Action.INDEX_REBUILD: lazy_gettext("An index was built anew"),
    Action.GROUPS_MAKE: lazy_gettext("The library was grouped anew"),
    Action.MAP_MAKE: lazy_gettext("The map was made anew"),
    Action.MODEL_BEGIN: lazy_gettext("A change of the image model began"),
    Action.MODEL_FLIP: lazy_gettext("A new image model was put into use"),
    Action.MODEL_GO_BACK: lazy_gettext("The image model of before was put into use again"),
    Action.MODEL_DISCARD: lazy_gettext("The image model of before was removed"),
    Action.MODEL_CANCEL: lazy_gettext("A change of the image model was cancelled"),
    Action.JOB_RETRY: lazy_gettext("A job was tried again"),
    Action.JOB_CANCEL: lazy_gettext("A job was cancelled"),
    Action.WEBHOOK_MAKE: lazy_gettext("A webhook was made"),
    Action.WEBHOOK_CHANGE: lazy_gettext("A webhook was changed"),
    Action.WEBHOOK_SECRET: lazy_gettext("A webhook got another secret"),
    Action.WEBHOOK_DELETE: lazy_gettext("A webhook was deleted"),
    Action.LIBRARY_EXPORT: lazy_gettext("Pictures were exported"),
    Action.LIBRARY_IMPORT: lazy_gettext("Pictures were imported"),
}
VIAS: Mapping[Via, Any] = {
    Via.KEY: lazy_gettext("with a key"),
    Via.SESSION: lazy_gettext("in a browser"),
    Via.LINK: lazy_gettext("by a link"),
    Via.TOKEN: lazy_gettext("with a token of the product"),
    Via.PRODUCT: lazy_gettext("through the product"),
    Via.OPEN: lazy_gettext("without a key"),
    Via.COMMAND_LINE: lazy_gettext("at the command line"),
    Via.SERVER: lazy_gettext("by the server itself"),
}
FACTS: Mapping[str, Any] = {
    "role": lazy_gettext("Role"),
    "quota_images": lazy_gettext("Most pictures"),
    "quota_bytes": lazy_gettext("Most bytes"),
    "prefix": lazy_gettext("Key"),
    "name": lazy_gettext("Name"),
    "kind": lazy_gettext("Kind"),
    "model": lazy_gettext("Model"),
    "source": lazy_gettext("Source"),
    "reason": lazy_gettext("Reason"),
}
"""Facts of entries that a page shows, by their names; others are for programs."""

ROLES = {"user": lazy_gettext("user"), "administrator": lazy_gettext("administrator")}


def register(blueprint: Blueprint) -> None:
    """Add the page."""
    blueprint.get("/settings/audit", endpoint="audit")(show)


def show() -> Response:
    """One page of entries, newest first."""
    user, is_administrator = require_user(), current_caller().is_administrator
    asked = {name: request.args.get(name, "").strip() for name in _FIELDS}
    fault = ""
    try:
        wanted = _wanted(asked, user.id, is_administrator)
    except (InvalidInput, NotFound) as error:
        is_absent = isinstance(error, NotFound)
        fault = gettext("There is no user of this name.") if is_absent else error.detail
        wanted = Wanted(None if is_administrator else user.id)
    with current_runtime().reading() as session:
        found = audit.list_entries(
            session,
            wanted,
            reader_id=None if is_administrator else user.id,
            cursor=row_id_of(request.args.get("cursor")),
            limit=ENTRIES + 1,
        )
    following = None
    if len(found) > ENTRIES:
        narrowed: dict[str, Any] = _given(asked)
        following = url_for("pages.audit", cursor=cursor_after(found[ENTRIES - 1].id), **narrowed)
    return page(
        "audit.html",
        title=gettext("What was done"),
        here="pages.settings",
        entries=found[:ENTRIES],
        following=following,
        asked=asked,
        fault=fault,
        is_narrowed=bool(_given(asked)),
        is_administrator=is_administrator,
        days=current_runtime().settings.audit_days,
        actions=ACTIONS,
        vias=VIAS,
        facts=_facts,
    )


_FIELDS = ("user", "action", "since", "until")


def _given(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in asked.items() if text}


def _wanted(asked: Mapping[str, str], user_id: int, is_administrator: bool) -> Wanted:
    """Return what the form asks for.

    Raises:
        InvalidInput, NotFound: a day cannot be read, or there is no such user or action.
    """
    whose: int | None = user_id
    if is_administrator:
        whose = None
        if asked["user"]:
            with current_runtime().transaction() as session:
                whose = users.user_named(session, asked["user"]).id
    if asked["action"] and asked["action"] not in list(Action):
        raise InvalidInput(gettext("There is no such action; choose one of the list."))
    return Wanted(
        whose,
        (asked["action"],) if asked["action"] else (),
        moment_of(asked["since"]) if asked["since"] else None,
        moment_of(asked["until"]) if asked["until"] else None,
    )


def _facts(entry: Entry) -> list[tuple[Any, Any]]:
    """Return the facts of an entry that people read, with what they are called."""
    return [
        (FACTS[name], ROLES.get(value, value) if name == "role" else value)
        for name, value in entry.detail.items()
        if name in FACTS and value is not None
    ]
