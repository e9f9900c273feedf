"""The metrics server of a worker process: it answers /metrics and nothing else."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import CollectorRegistry

from mirada.metrics.exposition import registry_of, rendered
from mirada.metrics.publishing import Publisher
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

CLIENT_PATIENCE_S = 10.0
"""After so long a connection that says nothing is closed: every one holds a thread."""


def serve(runtime: Runtime) -> Callable[[], None]:
    """Serve this process's metrics on WORKER_METRICS_PORT, and return what ends that.

    Without the setting nothing is served. A port that cannot be had is logged and no reason not to
    work.
    """
    host, port = runtime.settings.worker_metrics_host, runtime.settings.worker_metrics_port
    if port is None:
        return lambda: None
    try:
        server = _Server(host, port, registry_of(Publisher(runtime)))
    except OSError as error:
        logger.error(
            "Metrics are not served: %s, port %s cannot be had (%s). Every worker process of a "
            "machine needs a WORKER_METRICS_PORT of its own.",
            host,
            port,
            error.strerror,
        )
        return lambda: None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    logger.info("Metrics are served at %s, port %s", host, port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return stop


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        # Read by the constructor when it makes the socket.
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; the rest is logged like everything else."""
        logger.warning("A scrape was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_PATIENCE_S
    server_version = "Mirada"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer /metrics."""
        if self.path.split("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, explain="Metrics are at /metrics.")
            return
        text, content_type = rendered(self.server.registry, self.headers.get("Accept", ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes come every few seconds and are no news."""
