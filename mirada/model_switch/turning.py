"""What is asked of a change that is made: flip, and go back. Both are done at once where all are prepared.

Every process loads the other model as soon as it is complete (`following`). Where all have, a flip is one
row, which the request itself writes, and waits until each process has followed. Else a job does it, as
soon as they have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mirada.db import changes
from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.kernel import model_view
from mirada.kernel.errors import Conflict, Unavailable
from mirada.model_switch import changing, filling, flipping, rows
from mirada.model_switch.building import Views, views_of
from mirada.model_switch.changing import Asked
from mirada.model_switch.even import even_through
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

TURNED_WITHIN_S = 1.0
"""How long a request tries by itself. Then the job goes on, which has all the time that it needs."""
FOLLOWED_WITHIN_S = 3.0
"""How long a request waits for the processes, which look five times a second."""
LOOK_EVERY_S = 0.02
MOST_FILLED = 64
"""Vectors that a request computes itself: what came in since the spaces were last made even."""


class _NotAtOnce(Exception):
    """Something has to be done first that takes longer than a request should wait."""


def flip(runtime: Runtime, asked: Asked) -> None:
    """Put the model whose space is ready into use, in every process.

    Where all have it loaded, it is in use when this returns. Else a job is queued.

    Raises:
        Conflict: no change is ready.
    """
    _turn(runtime, asked, SwitchState.READY, changing.flip)


def go_back(runtime: Runtime, asked: Asked) -> None:
    """Put the model of before into use again, as `flip` does.

    Raises:
        Conflict: no change was made, or the old vectors are discarded.
    """
    _turn(runtime, asked, SwitchState.FLIPPED, changing.go_back)


def _turn(
    runtime: Runtime,
    asked: Asked,
    state: SwitchState,
    queue: Callable[[Runtime, Asked], ModelSwitch],
) -> None:
    with runtime.reading() as session:
        switch = rows.active_switch(session)
    if switch is None or switch.state != state:
        queue(runtime, asked)
        return
    try:
        _turn_at_once(runtime, switch)
    except (_NotAtOnce, Conflict, Unavailable) as error:
        # A conflict: somebody else was quicker, and what is asked then is refused with the reason.
        logger.info("A job changes the image model: %s", error)
        queue(runtime, asked)
        return
    _wait_for_followers(runtime)


def _turn_at_once(runtime: Runtime, switch: ModelSwitch) -> None:
    with runtime.reading() as session:
        views = views_of(runtime, session, switch)
        there = rows.processes(session)
    wanted = views.other.image_space_id
    waiting = [each.name for each in there if each.ready_for_id != wanted]
    if waiting or not there:
        raise _NotAtOnce(f"not every process has the other model loaded: {waiting or 'none'}")
    since = even_through(runtime, switch, views)
    until = time.monotonic() + TURNED_WITHIN_S
    while time.monotonic() < until:
        with runtime.reading() as session:
            before = changes.current_seq(session)
        _fill(runtime, views, since)
        if flipping.turned(runtime, switch.id, views, before, SwitchState(switch.state)):
            return
    raise _NotAtOnce("pictures come in faster than they are embedded by both models")


def _fill(runtime: Runtime, views: Views, since: int | None) -> None:
    """Embed the little that came in since a change number; None looks among everything.

    Raises:
        _NotAtOnce: it is much, or the model is not loaded here.
    """
    with runtime.reading() as session:
        lacking = sum(
            filling.count_lacking(session, each, after_seq=since) for each in views.fillings
        )
    if not lacking:
        return
    with model_view.working_in(views.other):
        if lacking > MOST_FILLED or not runtime.encoder_is_loaded():
            raise _NotAtOnce(f"{lacking} vectors are missing")
        for each in views.fillings:
            filling.fill(runtime, each, lambda _done, _total: None, 0, lacking, after_seq=since)


def _wait_for_followers(runtime: Runtime) -> None:
    """Wait until every process works with the model in use; one that is silent is not waited for long."""
    until = time.monotonic() + FOLLOWED_WITHIN_S
    while time.monotonic() < until:
        with runtime.reading() as session:
            if not rows.lagging(session):
                return
        time.sleep(LOOK_EVERY_S)
