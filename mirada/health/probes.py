"""Health probes: each dependency is used once, on a thread of its own, with a limit on the wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from mirada.config import AuthMode, OpenAs
from mirada.db import spaces, waits
from mirada.health.check_models import check_models_available
from mirada.jobs.stalled import PATIENCE_S, stalled_s
from mirada.kernel.commands import command_line
from mirada.kernel.errors import MiradaError
from mirada.language_model.server_state import KeyState, language_model_state
from mirada.runtime import Runtime

logger = structlog.get_logger(__name__)

FRESH_S = 3.0
"""Seconds that a result is reused: several load balancers ask every few seconds."""
BUSY_S = 30.0
"""Seconds that the last good result of the encoder is reused, since a busy encoder answers late. Every
other dependency that does not answer in time counts as down."""
WORKER_FRESH_S = 5.0
"""The same for the look at the jobs, which reads them all while none is worked on."""
TOO_LATE = "It did not answer in time."
SWITCHED_OFF = "switched off"
WAIT_S = 2.0
"""Seconds that a request waits for all probes together; the reply is due within 3 s."""


ESSENTIAL = ("database", "encoder")
"""Probes without which nothing can be embedded or found."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Result(Generic[Found]):
    """The result of one probe: `found`, or `error`, a sentence about the failure; one of them is None."""

    found: Found | None
    error: str | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the dependency works."""
        return self.error is None

    @property
    def detail(self) -> str:
        """A sentence about the dependency."""
        return str(self.found) if self.error is None else self.error


class Probe(Generic[Found]):
    """The probe of one dependency, on a thread of its own, so that a hanging one delays no request."""

    def __init__(
        self,
        name: str,
        attempt: Callable[[], Found],
        *,
        fresh_s: float = FRESH_S,
        patience_s: float = 0.0,
        why_late: Callable[[], str] = lambda: TOO_LATE,
        is_brief: bool = True,
        says_where: bool = False,
    ) -> None:
        """Keep what to try.

        Args:
            name: of the dependency.
            attempt: returns what there is to tell, or raises.
            fresh_s: how long a result is believed.
            patience_s: how long the last result still counts while a newer try takes its time.
            why_late: returns a sentence about a try that is not over yet.
            is_brief: it waits for the database as briefly as a request; a try that hangs longer would
                not see that all is well again.
            says_where: everybody who asks is an administrator, and may read addresses.
        """
        self.name = name
        self._attempt = attempt
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._why_late = why_late
        self._is_brief = is_brief
        self._says_where = says_where
        self._changed = threading.Condition()
        self._is_running = False
        self._result: Result[Found] | None = None
        self._at_s = float("-inf")

    def start(self) -> None:
        """Try again in the background unless the last result is fresh or a try is under way."""
        with self._changed:
            if self._is_running or time.monotonic() - self._at_s < self._fresh_s:
                return
            self._is_running = True
        threading.Thread(target=self._run, name=f"probe-{self.name}", daemon=True).start()

    def result(self, until_s: float) -> Result[Found]:
        """Return the result, waiting for a running try until the given monotonic time."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._is_running, timeout=max(0.0, until_s - time.monotonic())
            )
            age_s = time.monotonic() - self._at_s
            if self._result is not None and (not self._is_running or age_s < self._patience_s):
                return self._result
            return Result(None, self._why_late())

    def _run(self) -> None:
        result: Result[Found]
        try:
            if self._is_brief:
                waits.begin_request()
            result = Result(self._attempt())
        except MiradaError as error:
            result = Result(None, str(error) if self._says_where else error.detail)
        except Exception as error:  # The edge of a thread: whatever it is, the probe has failed.
            logger.warning("probe_failed", probe=self.name, exc_info=error)
            result = Result(None, f"{type(error).__name__}: see the log.")
        finally:
            waits.end_request()
        with self._changed:
            self._result, self._at_s, self._is_running = result, time.monotonic(), False
            self._changed.notify_all()


def health_of(runtime: Runtime) -> Health:
    """Return the probes of this process: all who ask share what the last one found."""
    return runtime.remembered("health", lambda: Health(runtime))


class Health:
    """Every probe of one process."""

    def __init__(self, runtime: Runtime) -> None:
        """Prepare the probes; nothing runs before the first question."""
        self._runtime = runtime
        settings = runtime.settings
        all_administer = (
            settings.effective_auth_mode is AuthMode.OPEN
            and settings.effective_open_as is OpenAs.ADMINISTRATOR
        )
        self._probes = (
            Probe("database", self._database, says_where=all_administer),
            Probe("encoder", self._encoder, patience_s=BUSY_S, why_late=self._why_encoder_is_late),
            Probe("queue", self._queue),
            Probe("worker", self._worker, fresh_s=WORKER_FRESH_S),
            Probe("index", self._index),
            Probe("store", self._store),
            Probe("language_model", self._language_model),
        )

    def check(self, wait_s: float = WAIT_S) -> dict[str, Result[str]]:
        """Return the result of every probe by name, after at most `wait_s`."""
        until_s = time.monotonic() + wait_s
        for probe in self._probes:
            probe.start()
        return {probe.name: probe.result(until_s) for probe in self._probes}

    def serves(self, results: Mapping[str, Result[str]]) -> bool:
        """Return whether pictures can be embedded and found, by the results of `check`."""
        # An encoder that is switched off is no fault to be mended by a restart.
        is_wanted = {"encoder": self._runtime.settings.embeddings_enabled}
        return all(results[name].is_ok for name in ESSENTIAL if is_wanted.get(name, True))

    def _database(self) -> str:
        with self._runtime.reading() as session:
            spaces.pinned_space(session)
        return "connected"

    def _encoder(self) -> str:
        runtime = self._runtime
        report = check_models_available(
            lambda: runtime.encoder.interactive(),
            enabled=runtime.settings.embeddings_enabled,
            device=runtime.settings.embeddings_device,
        )
        if report.errors:
            raise MiradaError(" ".join(report.errors))
        if not report.enabled:
            raise MiradaError(SWITCHED_OFF)
        return f"{report.image_model} on {report.device}"

    def _why_encoder_is_late(self) -> str:
        return TOO_LATE if self._runtime.encoder_is_loaded() else "still loading"

    def _queue(self) -> str:
        # How much waits is not told: health is for everybody, and most work is about private pictures.
        return "in-process" if self._runtime.doorbell.waiting() is None else "connected"

    def _worker(self) -> str:
        with self._runtime.reading() as session:
            waited_s = stalled_s(session)
        if waited_s is None:
            return "no work is left lying"
        where = (
            "The log of this server says what keeps it."
            if self._runtime.settings.redis_url is None
            else f"Is a worker running? Start one: {command_line('worker')}"
        )
        raise MiradaError(
            f"A job has been due for {waited_s:.0f} s, and in the last {PATIENCE_S} s none was begun "
            f"or finished. {where}"
        )

    def _index(self) -> str:
        runtime = self._runtime
        with runtime.reading() as session:
            pinned = spaces.pinned_space(session)
        if pinned is None:
            return "nothing to search yet"
        runtime.index(pinned.id).status()
        return "loaded"

    def _language_model(self) -> str:
        # The one dependency that is not tried: every question costs money.
        state = language_model_state(self._runtime)
        if state.key == KeyState.UNSET:
            return "no key is set, so none is asked"
        if state.reason is not None:
            raise MiradaError(state.reason)
        return "a key is set"

    def _store(self) -> str:
        self._runtime.image_store.probe()
        return "writable"
