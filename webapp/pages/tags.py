"""The page of one's tags: all of them, and one of them renamed, joined with another, or taken off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext, ngettext
from werkzeug.exceptions import BadRequest

from mirada.batches import batches
from mirada.batches.batches import Outcome
from mirada.batches.doing import Asker, Name
from mirada.batches.wanted import Wanted, checked_value
from mirada.kernel.conditions import written_conditions
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.tags import MAX_TAG_CHARACTERS, normalised_tag, tag_key
from mirada.pictures import image_lists, tags
from mirada.pictures.tags import TagCount
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import cursor_after, text_of
from webapp.pages.explore_address import LIBRARY
from webapp.pages.shell import page

HERE = "pages.tags"
TAGS = 100
"""Of one page."""


@dataclass(frozen=True, slots=True)
class TagRow:
    """A tag of the list.

    Attributes:
        tag: its name, and on how many of one's own pictures it is.
        address: of Explore with these pictures.
    """

    tag: TagCount
    address: str


@dataclass(frozen=True, slots=True)
class Change:
    """What was just done to a tag.

    Attributes:
        outcome: how far it is.
        sentence: it in words.
        may_undo: it can be undone.
    """

    outcome: Outcome
    sentence: str
    may_undo: bool


def register(blueprint: Blueprint) -> None:
    """Add the pages, and what their forms do."""
    blueprint.get("/tags", endpoint="tags")(show)
    blueprint.get("/tags/one", endpoint="tag")(show_one)
    blueprint.post("/tags/one", endpoint="rename_tag")(rename)
    blueprint.post("/tags/one/remove", endpoint="remove_tag")(remove)
    blueprint.post("/tags/undo", endpoint="undo_tag_change")(undo)


def show() -> Any:
    """One's own tags, by name, as far as they begin with what was typed."""
    require_user()
    prefix, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
    with current_runtime().reading() as session:
        found = tags.list_tags(
            session,
            scope_of_caller(own_alone=True),
            prefix=tag_key(prefix),
            after=text_of(cursor),
            limit=TAGS + 1,
        )
    shown, following = found[:TAGS], None
    if len(found) > TAGS:
        following = url_for(HERE, q=prefix or None, cursor=cursor_after(shown[-1].key))
    return page(
        "tags.html",
        title=gettext("Tags"),
        here=HERE,
        rows=[TagRow(tag, _pictures_of(tag.name)) for tag in shown],
        prefix=prefix,
        following=following,
        change=_change(),
    )


def show_one() -> Any:
    """The form that renames a tag of one's own."""
    require_user()
    return _form(_tag_asked_for())


def rename() -> Any:
    """Rename a tag on all of one's own pictures; where one has both, they become one."""
    name, typed = _tag_asked_for(), _field("to")
    try:
        wanted = normalised_tag(typed)
    except InvalidInput as error:
        return _form(name, typed, error.detail)
    return _changed(Name.RENAME_TAG, [name, wanted], name)


def remove() -> Any:
    """Take a tag off all of one's own pictures."""
    name = _tag_asked_for()
    return _changed(Name.REMOVE_TAGS, [name], name)


def undo() -> Any:
    """Set back what was done to a tag, but for pictures that were tagged anew since."""
    user, token = require_user(), _field("token")
    asker = Asker(user.id, current_caller().is_administrator)
    batches.undo(current_runtime(), token, asker, request_id())
    return redirect(url_for(HERE, change=token), 303)


def _changed(action: Name, value: Any, name: str) -> Any:
    user = require_user()
    wanted = Wanted(
        action,
        checked_value(action, value),
        ids=None,
        conditions=tuple(written_conditions({"tag": [name]})),
    )
    asker = Asker(user.id, current_caller().is_administrator)
    outcome = batches.change_many(current_runtime(), wanted, asker, request_id())
    return redirect(url_for(HERE, change=outcome.undo), 303)


def _form(name: str, typed: str | None = None, refusal: str | None = None) -> Any:
    scope = scope_of_caller({"tag": [name]}, own_alone=True)
    with current_runtime().reading() as session:
        total = image_lists.total(session, scope)
    if not total.value:
        raise tags.absent_tag(name)
    reply = page(
        "tag.html",
        title=gettext("Rename a tag"),
        here=HERE,
        name=name,
        to=name if typed is None else typed,
        total=total,
        address=_pictures_of(name),
        most=MAX_TAG_CHARACTERS,
        refusal=refusal,
    )
    reply.status_code = 422 if refusal else 200
    return reply


def _change() -> Change | None:
    """Return what the address names; None for nothing, and for what is not theirs or is too old."""
    token, user = request.args.get("change"), require_user()
    if not token:
        return None
    try:
        outcome = batches.read(current_runtime(), token, user.id)
    except NotFound:
        return None
    if outcome.is_undone:
        said = ngettext("Undone on %(num)s picture.", "Undone on %(num)s pictures.", outcome.undone)
        return Change(outcome, said, may_undo=False)
    if outcome.action == Name.RENAME_TAG:
        old, new = outcome.value
        said = gettext("%(old)s is called %(new)s now.", old=old, new=new)
    elif outcome.action == Name.REMOVE_TAGS:
        said = gettext("%(tag)s was taken off.", tag=", ".join(outcome.value))
    else:
        return None
    return Change(outcome, said, may_undo=outcome.undo is not None)


def _tag_asked_for() -> str:
    name = request.values.get("name")
    if not name:
        raise BadRequest("The address lacks the name of a tag.")
    return name


def _field(name: str) -> str:
    value = request.form.get(name)
    if value is None:
        raise BadRequest(f"The form lacks {name}.")
    return value


def _pictures_of(name: str) -> str:
    return LIBRARY.with_(tag=name, mine=1)
