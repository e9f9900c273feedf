"""What the front takes from the application it stands before."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Flask

from mirada.runtime import Runtime
from webapp.front.bodies import Budget
from webapp.front.lane import Lane
from webapp.front.receiving import HEAD_WITHIN_S, BodyLimit
from webapp.front.refused import Alive
from webapp.http.uploads import body_limit

MAY_WAIT_S = 30.0
"""How long a whole request may wait for a thread: its client has given up by then, or tries again."""
MAY_WAIT_IN_TROUBLE_S = 2.0
"""The same while the database does not answer: together with one wait for it under 5 s."""
BUSY = "The server is busy and did not come to this request; try again shortly."
DESCRIPTORS = 4096


@dataclass(frozen=True, slots=True)
class Front:
    """The application as the front needs it."""

    alive: Alive
    body_limit: BodyLimit
    budget: Budget
    lane: Lane
    may_wait_s: Callable[[], float]
    first_byte_within_s: float = HEAD_WITHIN_S


def front_of(app: Flask) -> Front:
    """Return what stands before an application, with nothing running yet."""
    runtime: Runtime = app.extensions["mirada_runtime"]
    _permit_descriptors()
    folder = runtime.settings.data_dir
    is_usable = folder.is_dir() and os.access(folder, os.W_OK)
    return Front(
        alive=_alive(app),
        body_limit=lambda content_type: body_limit(content_type, runtime.settings),
        # Beside the pictures, where there is room; a system's temporary folder may be memory.
        budget=Budget(folder if is_usable else None),
        lane=Lane(),
        may_wait_s=lambda: MAY_WAIT_IN_TROUBLE_S if runtime.is_in_trouble() else MAY_WAIT_S,
    )


def _alive(app: Any) -> Alive:
    prefix = app.extensions["mirada_runtime"].settings.script_name or ""
    reply = app.test_client().get(Alive.PATHS[0], base_url="http://localhost")
    return Alive(list(reply.headers.items()), reply.get_data(), prefix)


def _permit_descriptors() -> None:
    """Have room for every connection and a file for each; the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
