"""The system's Chromium on a real server; absent, a skip on a laptop and a failure in CI."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from testing.servers.process import find_binary, missing


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = find_binary(("chromium", "chromium-browser", "google-chrome"))
    if path is None:
        missing("Chromium", "install it with apt install chromium")
    with sync_playwright() as playwright:
        # Containers have no user namespaces for the sandbox; nothing but our own pages is opened.
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def _served(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def serve() -> Callable[[Any], AbstractContextManager[str]]:
    """Return a function that serves an app, and yields where."""
    return _served


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    """Where the app is served."""
    with _served(app) as address:
        yield address
