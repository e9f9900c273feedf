"""Packs on the page of an image: which it is in, and the way into and out of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mirada.batches import batches
from mirada.batches.doing import Asker, Name
from mirada.batches.wanted import Wanted
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.packs import members, shown
from mirada.packs.shown import ShownPack
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.pages import image_acts
from webapp.pages.image_address import page_of_request

MOST = 50
"""Packs that are told of an image."""
MOST_CHOICES = 200
"""Packs of one's own to choose among: the newest."""


@dataclass(frozen=True, slots=True)
class InPacks:
    """Packs around an image.

    Attributes:
        there: those that it is in.
        choices: the viewer's own that it is not in, and that people fill.
        removed: names what took it out of one just now, to be undone; None for nothing.
    """

    there: Sequence[ShownPack]
    choices: Sequence[ShownPack]
    removed: str | None = None


def in_packs(image_id: int, removed: str | None) -> InPacks:
    """Return the packs around an image that the caller sees."""
    caller, runtime = current_caller(), current_runtime()
    holding = shown.Wanted(image_id=image_id)
    with runtime.reading() as session:
        there = shown.list_packs(session, caller.audience, holding, limit=MOST)
        own: Sequence[ShownPack] = ()
        if caller.user_id is not None:
            mine = shown.Wanted(own_alone=True)
            own = shown.list_packs(session, caller.audience, mine, limit=MOST_CHOICES)
    inside = {pack.id for pack in there}
    choices = [pack for pack in own if not pack.fills_itself and pack.id not in inside]
    return InPacks(there, choices, _to_undo(removed))


def add(image_id: int) -> Any:
    """Put it into a pack of one's own, at the end."""
    user, asked = require_user(), page_of_request(image_id)
    pack_id = image_acts.number("pack")
    members.add_images(current_runtime().database, pack_id, user.id, [image_id])
    return image_acts.done(asked, "packs")


def remove(image_id: int) -> Any:
    """Take it out of a pack of one's own; the way back knows its place and its emojis."""
    asked, pack_id = page_of_request(image_id), image_acts.number("pack")
    wanted = Wanted(Name.REMOVE_FROM_PACK, pack_id, (image_id,))
    outcome = batches.change_many(current_runtime(), wanted, _asker(), request_id())
    return image_acts.done(asked, "packs", out_of_pack=outcome.undo)


def undo(image_id: int) -> Any:
    """Put it back into the pack that it was taken out of."""
    asked = page_of_request(image_id)
    batches.undo(current_runtime(), image_acts.field("token"), _asker(), request_id())
    return image_acts.done(asked, "packs")


def _asker() -> Asker:
    return Asker(require_user().id, current_caller().is_administrator)


def _to_undo(token: str | None) -> str | None:
    """Return a name of what can still be undone; None for any other."""
    user_id = current_caller().user_id
    if token is None or user_id is None:
        return None
    try:
        outcome = batches.read(current_runtime(), token, user_id)
    except (NotFound, InvalidInput):
        return None
    return None if outcome.is_undone else token
