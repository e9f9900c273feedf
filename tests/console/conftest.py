"""Fixtures of the commands' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mirada.runtime import Runtime
from testing.shelf import Shelf


@pytest.fixture
def shelf(make_runtime: Callable[..., Runtime], tmp_path: Path) -> Shelf:
    """Three stickers of bea's, embedded by the bundled encoder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return Shelf(make_runtime(), folder)
