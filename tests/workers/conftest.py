"""Sites to work on: the product's runtime with a quick encoder, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.bootstrap import Runtime
from tests.workers.worksite import MeanColours, Site


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def site_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that put a runtime on each database."""
    if request.param == "sqlite":
        return {}
    database = request.getfixturevalue("mariadb_database")
    return {"database_url": database.engine.url.render_as_string(hide_password=False)}


@pytest.fixture(scope="session")
def decoder() -> Iterator[SandboxedDecoder]:
    """One sandboxed decoder for all sites: its child processes take a second to start."""
    decoder = SandboxedDecoder()
    yield decoder
    decoder.close()


@pytest.fixture
def make_site(
    make_runtime: Callable[..., Runtime], decoder: SandboxedDecoder
) -> Callable[..., Site]:
    """Return a function that makes a Site from settings."""

    def make(**settings: Any) -> Site:
        runtime = make_runtime(worker_threads=4, **settings)
        encoder = MeanColours()
        # The one port that is not the product's own: loading a network is another test's subject.
        runtime._ports["encoder"] = encoder
        runtime._ports["decoder"] = decoder
        return Site(runtime, encoder)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site], site_settings: dict[str, Any]) -> Site:
    """A site without Redis, on SQLite and on MariaDB."""
    return make_site(**site_settings)
