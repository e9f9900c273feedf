"""Up to which change number both spaces of a change of the model are even, as this process knows.

To look through a library of a million pictures for one that lacks a vector takes seconds. A process does so
once, in the background, and then only among what came since: so does a flip, which is quick for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mirada.db import changes
from mirada.db.model_switch_models import ModelSwitch
from mirada.model_switch import filling, rows
from mirada.model_switch.building import Views, views_of
from mirada.runtime import Runtime

NAME = "even_through"
"""The port that holds what is known."""


@dataclass(frozen=True, slots=True)
class _Even:
    """What is known: of which change, of which way, and up to which change number nothing was missing."""

    switch_id: int
    other_space_id: int | None
    change_seq: int


def even_through(runtime: Runtime, switch: ModelSwitch, views: Views) -> int | None:
    """Return up to which number nothing that the view in use has is missing in the other; None: not known."""
    known: _Even | None = runtime.built().get(NAME)
    if known is None or known.switch_id != switch.id:
        return None
    return known.change_seq if known.other_space_id == views.other.image_space_id else None


def look_whether_even(runtime: Runtime) -> bool:
    """Look among what came since the last look, and remember it where nothing is missing; return whether.

    The first look at a change, and at a way of it, is among everything.
    """
    with runtime.reading() as session:
        switch = rows.active_switch(session)
        if switch is None or switch.spare_id is None:
            return False
        views = views_of(runtime, session, switch)
        # Read first: what comes in meanwhile is looked at again.
        now = changes.current_seq(session)
        since = even_through(runtime, switch, views)
        for each in views.fillings:
            if filling.is_any_lacking(session, each, after_seq=since):
                return False
    runtime.remember(NAME, _Even(switch.id, views.other.image_space_id, now))
    return True
