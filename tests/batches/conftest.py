"""A town on SQLite and on MariaDB, and batches whose jobs take small steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mirada.batches import batches, jobs
from tests.batches.town import Town


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def town(request: pytest.FixtureRequest, make_runtime: Callable[..., Any]) -> Town:
    more: dict[str, Any] = {}
    if request.param == "mariadb":
        more = {"database_url": request.getfixturevalue("migrated_mariadb_url")}
    return Town(make_runtime(auth_mode="keys", **more))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images are many, and two are done together."""
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    monkeypatch.setattr(jobs, "TOGETHER", 2)
    monkeypatch.setattr(jobs, "MOST_REST_S", 0.0)
