"""Background work of a web process; no request waits for it.

It migrates the database, works jobs where there is no Redis, loads the encoder, prepares the list of
styles, imports a folder and announces that the server is ready. `gunicorn.conf.py` starts and stops it.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from mirada.background import Loop
from mirada.config import AuthMode, OpenAs, Settings
from mirada.db import spaces
from mirada.embedding.backfill import backfill_at_start
from mirada.health.probes import health_of
from mirada.jobs.waiting import wake_at_start
from mirada.kernel.commands import command_line
from mirada.kernel.errors import DatabaseRefused, MiradaError, Unavailable
from mirada.kernel.heap import settle
from mirada.memory.taste import StyleWarmUp
from mirada.model_switch.following import ModelFollower
from mirada.people import users
from mirada.pictures.folder_import import import_folder
from mirada.runtime import Runtime
from workers import in_process

logger = logging.getLogger(__name__)

MIGRATE_AGAIN_S = 2.0
"""Requests are served again a few seconds after the database comes back."""
ANSWER_PATIENCE_S = 300.0
"""How long /health is asked before the address is told anyhow: weights may have to be downloaded."""
ASK_AGAIN_S = 0.5
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
"""The address on this machine for each that means all of its addresses."""
PUBLISH_EVERY_S = 3.0
"""A scraped process tells the counts of the others as they were this long ago at most."""
JOIN_TIMEOUT_S = 3.0
"""How long Ctrl-C waits for weights that are being loaded."""


class Serving:
    """The background work of one web process, from its fork to its end."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        is_migrated: bool,
        is_first: bool,
        announce: Callable[[str], None] | None = None,
        publish: Callable[[], None] | None = None,
    ) -> None:
        """Prepare the threads; none runs before `start`.

        Args:
            runtime: the process's own; closed by `stop`.
            is_migrated: whether the database was brought up to date before the fork.
            is_first: whether this is the process that imports IMPORT_DIR and announces.
            announce: told one line for people when the server answers; logged when None.
            publish: tells the other web processes what this one has counted; None: there are none.
        """
        self._runtime = runtime
        self._is_migrated = is_migrated
        self._is_first = is_first
        self._announce = announce or logger.info
        self._stopping = threading.Event()
        self._stop_jobs: Callable[[], None] | None = None
        works = runtime.settings.redis_url is None
        self._styles = StyleWarmUp(runtime, may_encode=works)
        self._follower = ModelFollower(runtime, works=works)
        self._threads = [threading.Thread(target=self._begin, name="serving", daemon=True)]
        if is_first:
            self._threads.append(
                threading.Thread(target=self._say_ready, name="announcing", daemon=True)
            )
        self._publishing: Loop | None = None
        if publish is not None:
            # Once more at the end: what was counted since would be lost with the process.
            trouble = "What this process counted was not published"
            self._publishing = Loop("metrics", publish, PUBLISH_EVERY_S, trouble, once_more=True)

    def start(self) -> None:
        """Start the threads."""
        for remark in self._runtime.settings.remarks if self._is_first else ():
            logger.warning("%s", remark)
        if self._is_first and self._runtime.settings.is_open_to_a_network:
            logger.warning(
                "AUTH_MODE=open and HOST=%s: everybody who reaches this address acts as the local "
                "user, with the rights of %s (OPEN_AS). Set AUTH_MODE=keys unless the network is "
                "private.",
                self._runtime.settings.host,
                "an administrator"
                if self._runtime.settings.effective_open_as is OpenAs.ADMINISTRATOR
                else "a user",
            )
        if self._publishing is not None:
            self._publishing.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what `start` began and close the runtime; the process must end after it.

        Weights that are being loaded are not waited for longer than a moment, and the runtime then
        stays open: leaving at once is the only end to that, and nothing is lost by it.
        """
        self._stopping.set()
        if self._stop_jobs is not None:
            self._stop_jobs()
        self._follower.stop(JOIN_TIMEOUT_S)
        if self._publishing is not None:
            self._publishing.stop(JOIN_TIMEOUT_S)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
        if self._styles.stop(JOIN_TIMEOUT_S) and not any(
            thread.is_alive() for thread in self._threads
        ):
            self._runtime.close()

    def _begin(self) -> None:
        try:
            self._make_secret()
            if not self._migrate():
                return
            if self._runtime.settings.redis_url is None and not self._stopping.is_set():
                self._stop_jobs = in_process.start(self._runtime)
            self._load()
            self._follower.start()
            self._styles.start()
            if self._is_first:
                self._import_folder()
                self._tell_of_production()
        except Exception:
            # The edge of the thread: what can be answered without the rest is answered, and the log has the
            # traceback. What is known to fail (database, weights, a folder) is caught where it happens.
            logger.exception("Starting up did not finish")

    def _make_secret(self) -> None:
        """Make what signs sessions at the first start, and say at once when it cannot be kept."""
        try:
            self._runtime.secret  # noqa: B018 - the first use makes it
        except Unavailable as error:
            logger.warning("%s", error)

    def _migrate(self) -> bool:
        """Return True once the database has its tables, False when the process stops before."""
        told = ""
        while not self._is_migrated and not self._stopping.is_set():
            try:
                self._runtime.migrate()
                if self._runtime.settings.redis_url is None:
                    wake_at_start(self._runtime)
                self._is_migrated = True
                logger.info("The database is up to date")
            except Unavailable as error:
                why = error.for_operator if isinstance(error, DatabaseRefused) else str(error)
                if why != told:
                    logger.warning("%s Requests are answered 503 until that has changed.", why)
                    told = why
                self._stopping.wait(MIGRATE_AGAIN_S)
        return self._is_migrated

    def _load(self) -> None:
        """Load the weights and the index before the first search needs them."""
        if not self._runtime.settings.embeddings_enabled:
            return
        while not self._stopping.is_set():
            try:
                self._follower.look()
                # Before the weights: a search by a stored image needs none, and they take seconds.
                self._load_indexes()
                self._runtime.encoder  # noqa: B018 - the first use loads the weights
                self._runtime.space()
                if self._is_first:
                    backfill_at_start(self._runtime)
                # Of a new installation the space is known only now.
                self._load_indexes()
                settle()
                return
            except Unavailable as error:
                logger.warning("The encoder or the index is not ready: %s", error)
                self._stopping.wait(MIGRATE_AGAIN_S)
            except MiradaError as error:
                logger.error("%s", error)
                return

    def _load_indexes(self) -> None:
        """Read the indexes in use before people wait for them: pictures first, then the texts."""
        with self._runtime.reading() as session:
            in_use = spaces.searched_spaces(session)
        for space in in_use:
            self._runtime.index(space.id).refresh()

    def _say_ready(self) -> None:
        settings = self._runtime.settings
        address = settings.address
        line = f"Mirada is up at {address} but not healthy yet: see {address}/health"
        until_s = time.monotonic() + ANSWER_PATIENCE_S
        while time.monotonic() < until_s and not self._stopping.is_set():
            # Asked here and not over HTTP: the address may have a path in front, and nobody wants to
            # read in the log how often a server has asked itself.
            health = health_of(self._runtime)
            if health.serves(health.check()) and _is_listening(settings):
                line = _ready_line(settings)
                break
            self._stopping.wait(ASK_AGAIN_S)
        if not self._stopping.is_set():
            self._announce(line)

    def _tell_of_production(self) -> None:
        if self._stopping.is_set() or not self._runtime.settings.embeddings_enabled:
            return
        try:
            is_missed = self._runtime.misses_production_model()
        except MiradaError as error:
            logger.warning("Whether the production model can be had is not known: %s", error)
            return
        if is_missed:
            logger.warning(
                "Pictures are embedded by the bundled model, which was taken because the production "
                "model could not be had. It can be now. Change to it while the server serves: %s",
                command_line("models switch production"),
            )

    def _import_folder(self) -> None:
        folder = self._runtime.settings.import_dir
        if folder is None or self._stopping.is_set():
            return
        try:
            with self._runtime.transaction() as session:
                owner_id = users.local_user(session).id
            outcome = import_folder(
                self._runtime,
                folder,
                owner_id=owner_id,
                is_public=True,
                is_stopping=self._stopping.is_set,
            )
        except MiradaError as error:
            logger.error("IMPORT_DIR: %s", error)
            return
        for refusal in outcome.all_refused:
            logger.warning("IMPORT_DIR: refused %s: %s", refusal.path, refusal.reason)
        logger.info("IMPORT_DIR: %s", outcome.summary())


def _ready_line(settings: Settings) -> str:
    address = settings.address
    if not settings.embeddings_enabled:
        return (
            f"Ready: {address} - pictures are stored and not embedded, so there is no search, until "
            f"EMBEDDINGS_ENABLED is true; {address}/docs tries every call."
        )
    demo = settings.prefixed("make demo")
    if settings.effective_auth_mode is AuthMode.KEYS:
        create = command_line("users create NAME --admin")
        return (
            f"Ready: {address} - it asks for a key; `{create}` in another terminal makes one, on "
            f'the settings of this server; then run `{demo} ARGS="--key KEY"` and search for one '
            f"of its stickers; {address}/docs tries every call."
        )
    return (
        f"Ready: {address} - now run `{demo}` in another terminal, then search for one of its "
        f"stickers; {address}/docs tries every call."
    )


def _is_listening(settings: Settings) -> bool:
    """Return whether this machine accepts connections at the server's address."""
    host = LOOPBACK_OF.get(settings.host, settings.host)
    try:
        with socket.create_connection((host, settings.port), timeout=ASK_AGAIN_S):
            return True
    except OSError:
        return False
