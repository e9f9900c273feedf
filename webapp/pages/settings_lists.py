"""The default labels and the known styles as pages: read by everybody, edited by administrators.

A form carries the revision of what it was made from, so that two tabs never overwrite each other unseen.
What is refused is shown again as it was typed, each reason beside its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.kernel.errors import Conflict, NotFound, PreconditionFailed
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.current import current_runtime
from webapp.pages.settings_forms import LISTS, NAME_RULE, read_form
from webapp.pages.shell import page

DONE = {
    "saved": lazy_gettext("Saved."),
    "removed": lazy_gettext("Removed."),
    "reset": lazy_gettext("The built-in list is in force again."),
}


def register(blueprint: Blueprint) -> None:
    """Add the pages, and what their forms do."""
    views: dict[str, tuple[Callable[[str], Any], str, str]] = {
        "settings_list": (show, "", "GET"),
        "settings_value": (show_one, "/one", "GET"),
        "save_value": (save, "/one", "POST"),
        "ask_to_remove": (_ask("remove"), "/remove", "GET"),
        "remove_value": (remove, "/remove", "POST"),
        "ask_to_reset": (_ask("reset"), "/reset", "GET"),
        "reset_value": (reset, "/reset", "POST"),
    }
    for endpoint, (view, path, method) in views.items():
        for which in LISTS:
            blueprint.add_url_rule(
                f"/settings/{which}{path}",
                endpoint,
                view,
                methods=[method],
                defaults={"which": which},
            )


def show(which: str) -> Response:
    """The list in force."""
    require_user()
    kept = LISTS[which]
    with current_runtime().reading() as session:
        values, is_edited = kept.values.in_force(session), kept.values.is_edited(session)
    return page(
        "settings_list.html",
        title=kept.title,
        here="pages.settings",
        which=which,
        kept=kept,
        values=values,
        is_edited=is_edited,
        may_edit=current_caller().is_administrator,
        done=DONE.get(request.args.get("done", "")),
    )


def show_one(which: str) -> Response:
    """The form of one value, or of a new one. For administrators."""
    require_administrator()
    name = request.args.get("name")
    return _form(which, _current(which, name) if name is not None else None)


def save(which: str) -> Any:
    """Add a value, or replace it. For administrators."""
    require_administrator()
    kept, typed = LISTS[which], request.form
    read, faults = read_form(kept, typed)
    if faults:
        return _form(which, None, typed, faults, status=422)
    value, was = kept.made(**read), typed.get("was", "")
    try:
        with current_runtime().transaction() as session:
            kept.values.put(session, value, lambda current: (current or "") == was)
    except PreconditionFailed:
        return _form_again(which, value.name, typed)
    except Conflict as error:
        return _form(which, None, typed, refusal=error.detail, status=409)
    return redirect(url_for("pages.settings_list", which=which, done="saved"), 303)


def remove(which: str) -> Any:
    """Take a value out. For administrators."""
    require_administrator()
    kept, name, was = LISTS[which], request.form.get("name", ""), request.form.get("was")
    try:
        with current_runtime().transaction() as session:
            kept.values.delete(session, name, lambda current: current == was)
    except PreconditionFailed:
        changed = gettext("It was changed meanwhile. Look at it before you remove it.")
        return _asked(which, "remove", changed, 412)
    except NotFound:
        # Another tab was quicker.
        pass
    except Conflict:
        only = gettext(
            "It is the only one left. Add another one first, or go back to the built-in list."
        )
        return _asked(which, "remove", only, 409)
    return redirect(url_for("pages.settings_list", which=which, done="removed"), 303)


def reset(which: str) -> Any:
    """Go back to the built-in list. For administrators."""
    require_administrator()
    was = request.form.get("was")
    try:
        with current_runtime().transaction() as session:
            LISTS[which].values.reset(session, lambda current: current == was)
    except PreconditionFailed:
        changed = gettext("The list was changed meanwhile. Look at it before you give it up.")
        return _asked(which, "reset", changed, 412)
    return redirect(url_for("pages.settings_list", which=which, done="reset"), 303)


def _ask(act: str) -> Callable[[str], Response]:
    def ask(which: str) -> Response:
        """Ask whether it is meant. For administrators."""
        require_administrator()
        return _asked(which, act)

    return ask


def _asked(which: str, act: str, refusal: str | None = None, status: int = 200) -> Response:
    kept = LISTS[which]
    value = _current(which, request.values.get("name", "")) if act == "remove" else None
    with current_runtime().reading() as session:
        whole = kept.values.in_force(session)
    reply = page(
        "settings_sure.html",
        title=gettext("Remove") if value else gettext("Back to the built-in list"),
        here="pages.settings",
        which=which,
        act=act,
        kept=kept,
        value=value,
        built_in=len(kept.values.built_in),
        was=kept.values.revision(value or whole),
        refusal=refusal,
    )
    reply.status_code = status
    return reply


def _current(which: str, name: str) -> Any:
    """Return a value of the list. Raises NotFound."""
    with current_runtime().reading() as session:
        return LISTS[which].values.get(session, name)


def _form_again(which: str, name: str, typed: Mapping[str, str]) -> Response:
    """Show what was typed beside what is there now; saved once more, it takes its place."""
    was_new = not typed.get("was")
    try:
        now = _current(which, name)
    except NotFound:
        gone = gettext(
            "It was removed meanwhile, perhaps in another tab. What you wrote is still here: save it "
            "again to add it anew."
        )
        return _form(which, None, typed, refusal=gone, status=412)
    if was_new:
        taken = gettext("There is one of this name already: choose another, or change that one.")
        return _form(which, None, typed, {"name": taken}, status=412)
    changed = gettext(
        "It was changed meanwhile, perhaps in another tab. What you wrote is still here: save it again "
        "to put it in place of what it says now."
    )
    return _form(which, now, typed, refusal=changed, status=412)


def _form(
    which: str,
    now: Any,
    typed: Mapping[str, str] | None = None,
    faults: Mapping[str, Any] | None = None,
    *,
    refusal: str | None = None,
    status: int = 200,
) -> Response:
    """Return the form of a value.

    Args:
        which: the list.
        now: the value as it is; None for a new one, or where what was typed says which revision.
        typed: what was sent; None for the first look.
        faults: by field, what is wrong.
        refusal: what is wrong with the whole.
        status: of the reply.
    """
    kept = LISTS[which]
    shown = {} if now is None else {each.name: each.shown(now) for each in kept.fields}
    was = "" if now is None else kept.values.revision(now)
    if now is None and typed is not None and refusal is None and not (faults or {}).get("name"):
        was = typed.get("was", "")
    name = now.name if now is not None else (typed or {}).get("name", "")
    reply = page(
        "settings_value.html",
        title=name if was else kept.new,
        here="pages.settings",
        which=which,
        kept=kept,
        name=name,
        was=was,
        texts=shown
        if typed is None
        else {each.name: typed.get(each.name, "") for each in kept.fields},
        now=shown if typed is not None and now is not None else None,
        faults=faults or {},
        refusal=refusal,
        name_rule=NAME_RULE,
    )
    reply.status_code = status
    return reply
