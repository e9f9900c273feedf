"""Sites to work on: the product's runtime with a quick encoder, on each database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.bootstrap import Runtime
from tests.workers.worksite import MeanColours, Site


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def site_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings that put a runtime on each database."""
    if request.param == "sqlite":
        return {}
    database = request.getfixturevalue("mariadb_database")
    return {"database_url": database.engine.url.render_as_string(hide_password=False)}


@pytest.fixture
def make_site(make_runtime: Callable[..., Runtime]) -> Callable[..., Site]:
    """Return a function that makes a Site from settings."""

    def make(**settings: Any) -> Site:
        runtime = make_runtime(worker_threads=4, **settings)
        encoder = MeanColours()
        # The one port that is not the product's own: loading a network is another test's subject.
        runtime._ports["encoder"] = encoder
        return Site(runtime, encoder)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site], site_settings: dict[str, Any]) -> Site:
    """A site without Redis, on SQLite and on MariaDB."""
    return make_site(**site_settings)
