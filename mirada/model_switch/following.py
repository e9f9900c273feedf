"""A process follows a change of the image model: it makes ready, says so, and changes its view."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass, replace

import numpy as np

from mirada.background import JOIN_TIMEOUT_S, Loop
from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.embedding import mirroring
from mirada.kernel import model_view
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.kernel.model_view import ModelView
from mirada.model_switch import memory, rows
from mirada.model_switch.even import look_whether_even
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5
"""How soon a process knows that a change has begun."""
FOLLOW_A_CHANGE_EVERY_S = 0.2
"""How soon it knows of a flip."""
SAY_EVERY_S = 1.5
"""How often it says that it is there; see `rows.HEARD_WITHIN_MS`."""
LET_GO_AFTER_S = 60.0
"""Requests and jobs that began in a view have ended by then, or may fail."""
LOOK_WHETHER_EVEN_EVERY_S = 5.0
EVEN_SHARE = 20
"""Of its time a process spends at most one part in so many on looking whether both spaces are even."""
LOAD_AGAIN_S = 30.0
"""So long after a model could not be loaded a process tries again."""
HEADROOM = 1.25
"""So many times what the other model takes must be free before it is loaded without being asked for."""
KEPT_READY = (SwitchState.READY, SwitchState.FLIPPED)
"""States in which each process has both models loaded where memory allows, so that a flip is one row."""
A_PICTURE = np.full((64, 64, 3), 128, dtype=np.uint8)
MEGABYTE = 2**20
ASKED_FOR = (SwitchState.FLIPPING, SwitchState.RETURNING)
"""States in which each process loads the other model, whatever memory there is."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the database said last.

    Attributes:
        in_use: the spaces in use.
        switch_id: of the change that is on; None for none.
        state: of it.
        other: the spaces that the change would put into use; None while they are not known.
        other_bytes: by how much a process grew that loaded the other model; None: not measured.
        waiting: how many processes of this machine have not loaded it.
    """

    in_use: rows.Spaces
    switch_id: int | None = None
    state: str | None = None
    other: rows.Spaces | None = None
    other_bytes: int | None = None
    waiting: int = 0


class ModelFollower(Loop):
    """Follows changes of the image model in the background; one in each process that serves or works."""

    def __init__(self, runtime: Runtime, *, works: bool) -> None:
        """Prepare; `look` or `start` begins.

        Args:
            runtime: the process's own.
            works: whether this process works on jobs: then it embeds new pictures with both models.
        """
        super().__init__(
            "model-follower", self.look, FOLLOW_EVERY_S, "The image model in use is not followed"
        )
        self._runtime = runtime
        self._works = works
        self._machine = f"{socket.gethostname()[:60]}:"
        self._who = f"{self._machine}{os.getpid()}:{secrets.token_hex(4)}"
        self._loaded: dict[str, ModelView] = {}
        self._loading: threading.Thread | None = None
        self._why_not: str | None = None
        self._failed_at = float("-inf")
        self._evening: threading.Thread | None = None
        self._look_even_at = float("-inf")
        self._has_told_of_memory = False
        self._said: tuple[object, ...] = ()
        self._said_at = float("-inf")
        self._ended: list[tuple[float, ModelView]] = []

    def look(self) -> None:
        """Look at the database once, and do what it asks for; weights are loaded on another thread."""
        seen = self._read()
        self._every_s = FOLLOW_EVERY_S if seen.switch_id is None else FOLLOW_A_CHANGE_EVERY_S
        if SpaceKind.IMAGE not in seen.in_use:
            return
        self._adopt(seen)
        if seen.switch_id is None:
            self._let_go(seen)
            return
        other = None if seen.other is None else self._runtime.view_of(seen.other)
        if other is not None and self._is_wanted(seen, other):
            self._make_ready(other)
        self._mirror(other)
        self._say(other)
        if other is not None and seen.state in KEPT_READY and self._has_loaded(other):
            self._look_whether_even()

    def stop(self, timeout_s: float = JOIN_TIMEOUT_S) -> bool:
        """End, and be waited for no more."""
        has_ended = super().stop(timeout_s)
        for thread in (self._loading, self._evening):
            if thread is not None:
                thread.join(timeout_s)
        if self._said:
            try:
                with self._runtime.transaction() as session:
                    rows.forget_process(session, self._who)
            except MiradaError as error:
                logger.info("Nobody was told that this process ends: %s", error)
        return has_ended

    def _read(self) -> _Seen:
        with self._runtime.reading() as session:
            in_use = rows.spaces_in_use(session)
            switch = rows.active_switch(session)
            if switch is None or SpaceKind.IMAGE not in in_use:
                return _Seen(in_use)
            spare = rows.spare_of(session, switch)
            if spare is None or switch.state == SwitchState.DISCARDING:
                return _Seen(in_use, switch.id, switch.state)
            is_new = spare.id == switch.to_space_id
            return _Seen(
                in_use,
                switch.id,
                switch.state,
                rows.counterpart(session, in_use, spare),
                _measured_bytes(switch) if is_new else None,
                sum(
                    1
                    for each in rows.processes(session)
                    if each.name.startswith(self._machine) and each.ready_for_id != spare.id
                ),
            )

    def _adopt(self, seen: _Seen) -> None:
        """Let what begins from now on work in the spaces in use, once their encoder is there."""
        runtime = self._runtime
        now = runtime.process_view
        if dict(now.spaces) == dict(seen.in_use):
            return
        if now.image_space_id in (None, seen.in_use[SpaceKind.IMAGE]):
            runtime.change_view(now, replace(now, spaces=seen.in_use))
            return
        new = runtime.view_of(seen.in_use)
        if not self._make_ready(new):
            # The old model answers by its own vectors until the new one is loaded.
            return
        if runtime.change_view(now, new):
            self._loaded[now.suffix] = now
            logger.info("The image model in use is that of space %s now", new.image_space_id)

    def _is_wanted(self, seen: _Seen, other: ModelView) -> bool:
        """Return whether this process needs the other encoder: to serve soon, or to embed with both."""
        if self._works or seen.state in ASKED_FOR:
            return True
        return seen.state in KEPT_READY and (self._has_loaded(other) or self._has_room(seen))

    def _has_room(self, seen: _Seen) -> bool:
        """Return whether every process of this machine that has not loaded the other model could."""
        needed, free = seen.other_bytes or memory.resident_bytes(), memory.free_bytes()
        if needed is None or free is None or free >= needed * HEADROOM * max(1, seen.waiting):
            self._has_told_of_memory = False
            return True
        if not self._has_told_of_memory:
            logger.warning(
                "The other image model is loaded only when it is asked for, so a change takes as long as "
                "loading: it needs about %d MB in each process, and %d MB are free.",
                needed // MEGABYTE,
                free // MEGABYTE,
            )
        self._has_told_of_memory = True
        return False

    def _has_loaded(self, view: ModelView) -> bool:
        """Return whether the encoders and indexes of a view are here.

        A kind of texts that was not in use when they were loaded counts: few texts came in since.
        """
        loaded = self._loaded.get(view.suffix)
        return loaded is not None and all(
            loaded.spaces.get(kind, space_id) == space_id for kind, space_id in view.spaces.items()
        )

    def _make_ready(self, view: ModelView) -> bool:
        """Return whether a view can be served at once; begin to load what is missing."""
        if self._has_loaded(view):
            return True
        has_just_failed = time.monotonic() - self._failed_at < LOAD_AGAIN_S
        if not has_just_failed and (self._loading is None or not self._loading.is_alive()):
            self._loading = threading.Thread(
                target=self._load, args=(view,), name="loading-model", daemon=True
            )
            self._loading.start()
        return False

    def _load(self, view: ModelView) -> None:
        try:
            with model_view.working_in(view):
                if self._runtime.settings.embeddings_enabled:
                    # Both towers once: the first use of one takes longer than people should wait.
                    self._runtime.encoder.encode_texts(["a picture"])
                    self._runtime.encoder.encode_images([A_PICTURE])
                    self._runtime.space()
                for space_id in view.spaces.values():
                    self._runtime.index(space_id).refresh()
            self._loaded[view.suffix] = view
            self._why_not = None
        except MiradaError as error:
            if self._why_not is None:
                logger.warning("The other image model is not ready: %s", error)
            self._has_failed(str(error))
        except Exception as error:
            logger.exception("The other image model is not ready")
            self._has_failed(f"{type(error).__name__}: {error}")

    def _has_failed(self, why: str) -> None:
        self._why_not, self._failed_at = why, time.monotonic()

    def _look_whether_even(self) -> None:
        """Know up to where nothing is missing; the first look at a large library takes seconds."""
        is_looking = self._evening is not None and self._evening.is_alive()
        if is_looking or time.monotonic() < self._look_even_at:
            return

        def look() -> None:
            began = time.monotonic()
            try:
                look_whether_even(self._runtime)
            except MiradaError as error:
                logger.info("Not known whether both spaces are even: %s", error)
            took_s = time.monotonic() - began
            pause_s = max(LOOK_WHETHER_EVEN_EVERY_S, EVEN_SHARE * took_s)
            self._look_even_at = time.monotonic() + pause_s

        self._evening = threading.Thread(target=look, name="even-spaces", daemon=True)
        self._evening.start()

    def _mirror(self, other: ModelView | None) -> None:
        is_ready = other is not None and other.suffix in self._loaded
        views = (self._runtime.process_view, other) if other is not None and is_ready else ()
        if self._works:
            mirroring.mirror_in(self._runtime, [view for view in views if view is not None])

    def _say(self, other: ModelView | None) -> None:
        ready_for = None
        if other is not None and self._has_loaded(other):
            ready_for = other.image_space_id
        said = (self._runtime.process_view.image_space_id, ready_for, self._why_not)
        if said == self._said and time.monotonic() - self._said_at < SAY_EVERY_S:
            return
        with self._runtime.transaction() as session:
            rows.say_ready(session, self._who, *said)
        self._said, self._said_at = said, time.monotonic()

    def _let_go(self, seen: _Seen) -> None:
        """Forget the encoders of a change that has ended, once nobody works with them any more."""
        self._said, self._why_not, self._failed_at = (), None, float("-inf")
        own = self._runtime.process_view
        mirroring.mirror_in(self._runtime, [])
        now = time.monotonic()
        for suffix in [suffix for suffix in self._loaded if suffix != own.suffix]:
            self._ended.append((now, self._loaded.pop(suffix)))
        for ended_at, view in list(self._ended):
            if now - ended_at >= LET_GO_AFTER_S:
                self._ended.remove((ended_at, view))
                if view.suffix != own.suffix and view.suffix not in self._loaded:
                    self._runtime.forget_view(view)


def _measured_bytes(switch: ModelSwitch) -> int | None:
    """Return by how much a worker grew when it loaded the new model; None where that was not measured."""
    return None if switch.comparison is None else switch.comparison["then"]["memory_bytes"]
