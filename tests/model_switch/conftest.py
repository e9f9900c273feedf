"""Fixtures of the tests of a change of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mirada.model_switch import flipping
from mirada.runtime import Runtime
from testing.two_models import House


@pytest.fixture
def house(
    make_runtime: Callable[..., Runtime],
    site_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    monkeypatch.setattr(flipping, "HEARD_AFTER_S", 0.0)
    house = House(make_runtime, site_settings)
    yield house
    for follower in house.followers:
        follower.stop()
