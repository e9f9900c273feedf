"""The page of a pack, whole or those of its parts that a form has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flask import Response, request, url_for
from flask_babel import format_decimal, gettext, ngettext

from mirada.batches import batches
from mirada.kernel.errors import MiradaError, NotFound
from mirada.packs.limits import MOST_EMOJIS
from mirada.packs.self_filled import images_of_pack
from mirada.packs.shown import ShownPack, shown_pack
from mirada.packs.suggesting import suggestions_for
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import cursor_after, row_id_of
from webapp.pages.explore_address import LIBRARY, ExploreAddress
from webapp.pages.pack_exporting import NO_CHECK, Check, check_of_request, formats, later_of_request
from webapp.pages.pack_search import address_of_query
from webapp.pages.shell import is_fragment, page
from webapp.pages.tiles import Tile

PICTURES = 60
"""Of one page."""
SUGGESTED = 12
CHANGED = ("head", "told", "pictures", "change")
"""The parts that a change of the pack's pictures makes anew."""
WHOLE = (*CHANGED, "suggestions", "export")


@dataclass(frozen=True, slots=True)
class Told:
    """What was just done, in words.

    Attributes:
        text: a sentence or two.
        undo: where the form that undoes it is sent; None where it cannot be undone.
        fields: what that form sends.
    """

    text: str
    undo: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class After:
    """What a form has just done, or why it was refused.

    Attributes:
        told: what it did.
        faults: why it was refused, by the field at fault; "" for the whole.
        typed: what was written, by the name of its field; None where nothing was refused.
        status: of the reply.
        parts: of the page that a script gets.
        check: of an export.
    """

    told: Told | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] | None = None
    status: int = 200
    parts: Sequence[str] = CHANGED
    check: Check = NO_CHECK


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture at its place.

    Attributes:
        tile: the picture.
        place: in the pack, from 1, of those that the viewer sees.
        emojis: that it stands for.
        is_cover: whether it was chosen as the cover.
    """

    tile: Tile
    place: int
    emojis: Sequence[str]
    is_cover: bool


def shown(pack_id: int, after: After | None = None) -> Response:
    """Return the page, or for a script those of its parts that have changed.

    Raises:
        NotFound: there is no such pack, or the caller may not see it.
    """
    caller = current_caller()
    with current_runtime().reading() as session:
        pack = shown_pack(session, pack_id, caller.audience)
    is_owner = pack.owner_id == caller.user_id
    if after is None:
        after = After(told=_told_by_address(pack), check=check_of_request(pack_id))
    parts = after.parts if is_fragment() else WHOLE
    context: dict[str, Any] = {
        "pack": pack,
        "parts": parts,
        "after": after,
        "is_owner": is_owner,
        "may_edit": is_owner and not pack.fills_itself,
        "may_delete": is_owner or (caller.is_administrator and pack.is_public),
        "in_explore": None if pack.query is None else address_of_query(pack.query),
        "list": _list_of(pack),
        "formats": formats(),
        "later": later_of_request(),
        "most_emojis": MOST_EMOJIS,
        "act": partial(act, pack.id),
    }
    if "pictures" in parts:
        context |= _pictures(pack)
    if "suggestions" in parts:
        context |= _suggestions(pack) if context["may_edit"] else {}
    template = "_pack.html" if is_fragment() else "pack.html"
    reply = page(template, title=pack.title, here="pages.packs", **context)
    reply.status_code = after.status
    return reply


def act(pack_id: int, endpoint: str, **more: Any) -> str:
    """Return where a form of this page of the pack is sent."""
    return url_for(f"pages.{endpoint}", pack_id=pack_id, **_page(), **more)


def _page() -> dict[str, Any]:
    """Return the parameters of the page of a long pack that the request is about."""
    return {name: request.args.get(name) for name in ("cursor", "before")}


def address_of(pack_id: int, *, anchor: str | None = None, **more: Any) -> str:
    """Return the address of the page that the request is about; `more` tells what was done."""
    return url_for("pages.pack", pack_id=pack_id, _anchor=anchor, **_page(), **more)


def undo_of_batch(pack_id: int, token: str, text: str) -> Told:
    """Return what tells of a change of several pictures, and undoes it."""
    undo = url_for("pages.pack_undo", pack_id=pack_id)
    return Told(text, undo, {"token": token})


def _list_of(pack: ShownPack) -> ExploreAddress:
    """Return the list that pictures of a pack are opened from."""
    if pack.fills_itself:
        return LIBRARY
    return replace(LIBRARY, conditions={"pack": pack.id}, sent={"pack": [str(pack.id)]})


def _pictures(pack: ShownPack) -> dict[str, Any]:
    cursor = row_id_of(request.args.get("cursor"))
    before = request.args.get("before", 0, type=int) if cursor is not None else 0
    audience, runtime = current_caller().audience, current_runtime()
    found, trouble = [], None
    try:
        found = images_of_pack(
            runtime,
            pack.id,
            audience,
            cursor=cursor,
            limit=PICTURES + 1,
            request_id=request_id(),
        )
    except NotFound:
        raise
    except MiradaError as error:
        # Its title and its owner are there all the same, and so is the way to begin again.
        trouble = error.detail
    placed = [
        Placed(
            Tile(one.image),
            before + number,
            one.emojis,
            pack.has_chosen_cover and pack.cover is not None and one.id == pack.cover.id,
        )
        for number, one in enumerate(found[:PICTURES], 1)
    ]
    following = None
    if len(found) > PICTURES:
        after = cursor_after(found[PICTURES - 1].id)
        following = url_for(
            "pages.pack", pack_id=pack.id, cursor=after, before=before + len(placed)
        )
    return {"pictures": placed, "following": following, "trouble": trouble}


def _suggestions(pack: ShownPack) -> dict[str, Any]:
    if not pack.image_count and pack.theme is None:
        return {"titles": [], "suggested": [], "no_suggestion": _nothing_known()}
    try:
        found = suggestions_for(current_runtime(), pack.id, current_caller().audience, SUGGESTED)
    except MiradaError as error:
        return {"titles": [], "suggested": [], "no_suggestion": error.detail}
    tiles = [] if found.found is None else [Tile(one.image) for one in found.found.results]
    reason = None
    if not tiles:
        reason = _nothing_known() if found.found is None else gettext("Nothing more would fit.")
    return {
        "titles": [title for title in found.titles if title != pack.title],
        "suggested": tiles,
        "no_suggestion": reason,
    }


def _nothing_known() -> str:
    return gettext("Nothing is known yet of what belongs in. Put a first picture into it.")


def _told_by_address(pack: ShownPack) -> Told | None:
    """Return what the form before did, as the page's address tells it."""
    given, user_id = request.args, current_caller().user_id
    if user_id is None or pack.owner_id != user_id:
        return None
    if "removed" in given or "added" in given:
        token = given.get("removed") or given["added"]
        try:
            done = batches.read(current_runtime(), token, user_id)
        except NotFound:
            return None
        text = removed_text(done.done) if "removed" in given else added_text(done.done)
        return None if done.is_undone else undo_of_batch(pack.id, token, text)
    if "chosen" in given:
        return chosen_told(
            pack.id, given.get("chosen", 0, type=int), accepted=given.get("as") == "1"
        )
    if "was" in given:
        return titled_told(pack.id, given["was"])
    if "moved" in given:
        return Told(moved_text(given.get("moved", 1, type=int)))
    said = {
        "saved": gettext("Saved."),
        "undone": gettext("Undone, but for what was changed since."),
    }
    return next((Told(text) for name, text in said.items() if name in given), None)


def moved_text(place: int) -> str:
    """Return what is said of a picture that was moved; places are counted from 1."""
    return gettext("It is at place %(place)s now.", place=format_decimal(place))


def removed_text(count: int) -> str:
    """Return what is said of pictures that left a pack."""
    return ngettext(
        "%(num)s picture was taken out of the pack.",
        "%(num)s pictures were taken out of the pack.",
        count,
    )


def added_text(count: int) -> str:
    """Return what is said of pictures that came into a pack."""
    return ngettext("%(num)s picture is in the pack.", "%(num)s pictures are in the pack.", count)


def chosen_told(pack_id: int, image_id: int, *, accepted: bool) -> Told:
    """Return what is said of a suggestion that was taken or rejected, with the way back."""
    text = gettext("It is in the pack.") if accepted else gettext("It is not suggested again.")
    undo = url_for("pages.pack_choice_undo", pack_id=pack_id, image_id=image_id)
    return Told(text, undo)


def titled_told(pack_id: int, before: str) -> Told:
    """Return what is said of a title that was taken, with the way back to the one before."""
    undo = url_for("pages.pack_title", pack_id=pack_id)
    return Told(gettext("The pack has its new title."), undo, {"title": before})
