"""GET /metrics, for Prometheus."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

from flask import Response, request
from werkzeug.exceptions import HTTPException

from mirada.config import AuthMode
from mirada.health.gauges import DatabaseGauges
from mirada.kernel.errors import NotAllowed, NotAuthenticated, Unavailable
from mirada.metrics import multiprocess
from mirada.metrics.exposition import OPENMETRICS_TYPE, registry_of, rendered
from mirada.metrics.instruments import INSTRUMENTS
from mirada.metrics.publishing import Publisher
from mirada.runtime import Runtime
from webapp.callers import sessions
from webapp.callers.auth import require_metrics_reader
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from workers.kinds import KINDS

blueprint = ApiBlueprint(
    "metrics", __name__, ignores_unknown=True, description="Numbers for operators"
)

REMEMBERED_S = 3_600.0
"""How long a key that was let in still reads metrics while the database is down."""
REMEMBERED_READERS = 64
EXAMPLE = """\
# HELP mirada_database_up Whether the database answered within 2 s.
# TYPE mirada_database_up gauge
mirada_database_up 1.0
"""


class Measurements:
    """The metrics of one process, and the check of who reads them."""

    def __init__(self, runtime: Runtime) -> None:
        """Prepare the collectors; nothing is read before a scrape."""
        is_shared = multiprocess.is_shared()
        self._is_open = runtime.settings.effective_auth_mode is AuthMode.OPEN
        self._gauges = DatabaseGauges(runtime, KINDS)
        self._publisher = Publisher(
            runtime, multiprocess.gather if is_shared else INSTRUMENTS.collect
        )
        self._registry = registry_of(self._publisher, self._gauges, is_one_process=not is_shared)
        self._lock = threading.Lock()
        self._readers: OrderedDict[bytes, float] = OrderedDict()

    def publish(self) -> None:
        """Publish the counts of this process to the others of this server."""
        self._publisher.publish()

    def text(self) -> tuple[bytes, str]:
        """Return the metrics as the request asks for them, and their content type."""
        return rendered(self._registry, request.headers.get("Accept", ""))

    def require_reader(self) -> None:
        """Check that the caller may read metrics; while the database is down, by memory.

        Raises:
            NotAuthenticated, NotAllowed: as `require_metrics_reader` does.
            Unavailable: the key cannot be looked up, and did not read metrics within the last hour.
        """
        sent = _credentials()
        if sent is None:
            try:
                require_metrics_reader()
            except Unavailable:
                # AUTH_MODE=open asks the database last, and only who the local user is.
                if not self._is_open:
                    raise
        elif self._gauges.is_database_up():
            try:
                require_metrics_reader()
            except (NotAuthenticated, NotAllowed, HTTPException):
                # Whoever was let in once and is not any more waits for no outage.
                self._forget(sent)
                raise
            self._remember(sent)
        elif not self._knows(sent):
            raise Unavailable("The database is down, so your key cannot be looked up; try again.")

    def _remember(self, sent: bytes) -> None:
        with self._lock:
            self._readers[sent] = time.monotonic()
            self._readers.move_to_end(sent)
            if len(self._readers) > REMEMBERED_READERS:
                self._readers.popitem(last=False)

    def _forget(self, sent: bytes) -> None:
        with self._lock:
            self._readers.pop(sent, None)

    def _knows(self, sent: bytes) -> bool:
        with self._lock:
            at_s = self._readers.get(sent)
        return at_s is not None and time.monotonic() - at_s < REMEMBERED_S


@blueprint.get("/metrics")
@blueprint.operation("getMetrics", "Read the metrics, for Prometheus")
@blueprint.response(
    200,
    {"type": "string"},
    content_type=OPENMETRICS_TYPE,
    description="With Accept: application/openmetrics-text, OpenMetrics 1.0; else the text "
    "format 0.0.4.",
    example=EXAMPLE + "# EOF\n",
)
@blueprint.response(200, {"type": "string"}, content_type="text/plain", example=EXAMPLE)
def get_metrics() -> Response:
    """For administrators, and keys with the scope `metrics`. Numbers only, of nobody's.

    While the database is down what the processes know is still told, also to a key that was
    let in within the last hour. docs/metrics.md lists what there is.
    """
    measurements = measurements_of(current_runtime())
    measurements.require_reader()
    text, content_type = measurements.text()
    response = Response(text, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    return response


def measurements_of(runtime: Runtime) -> Measurements:
    """Return the metrics of this process and, in a server of several, of the others."""
    return runtime.remembered("metrics", lambda: Measurements(runtime))


def _credentials() -> bytes | None:
    """Return a digest of the credentials that were sent, None without any."""
    sent = [request.headers.get(name, "") for name in ("Authorization", "X-API-Key")]
    # A browser sends other programs' cookies as well.
    sent.append(request.cookies.get(sessions.COOKIE, ""))
    return hashlib.sha256("\n".join(sent).encode()).digest() if any(sent) else None
