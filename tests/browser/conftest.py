"""The system's Chromium on a real server; absent, a skip on a laptop and a failure in CI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from testing.app_server import served
from testing.patience import PATIENCE_S
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
        # What comes within a second may take long beside other work; only a failure takes this long.
        expect.set_options(timeout=PATIENCE_S * 1000)
        running.on("context", lambda context: context.set_default_timeout(PATIENCE_S * 1000))
        yield running
        running.close()


@pytest.fixture
def serve() -> Callable[[Any], AbstractContextManager[str]]:
    """Return a function that serves an app, and yields where."""
    return served


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    """Where the app is served."""
    with served(app) as address:
        yield address
