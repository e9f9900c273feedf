"""Fixtures of the tests of imports and exports: pictures of an old system, and a Mirada to bring them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.encoders import CountingEncoder, with_encoder
from testing.old_systems import Old, drawn_pictures
from tests.compat.conftest import Server

COUNT = 50


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Old:
    """Fifty pictures, and the vectors that `Mirada`'s model gives them."""
    folder = tmp_path_factory.mktemp("old")
    return drawn_pictures(folder, COUNT, CountingEncoder().encode_images)


class Mirada(Server):
    """A Mirada whose encoder counts what it embeds."""

    def __init__(self, runtime: Any, client: Any, encoder: CountingEncoder) -> None:
        super().__init__(runtime, client)
        self.encoder = encoder


@pytest.fixture
def make_mirada(make_runtime: Callable[..., Any]) -> Callable[..., Mirada]:
    """Return a function that makes one with nothing in it."""
    from testing.application import create_app

    def make(**settings: Any) -> Mirada:
        encoder = CountingEncoder()
        runtime = with_encoder(make_runtime(**settings), encoder)
        # The first use pins its space.
        runtime.encoder  # noqa: B018
        return Mirada(runtime, create_app(runtime).test_client(), encoder)

    return make


@pytest.fixture
def mirada(make_mirada: Callable[..., Mirada]) -> Mirada:
    """One on SQLite."""
    return make_mirada()
