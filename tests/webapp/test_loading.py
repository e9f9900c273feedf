"""Requests on a first run, before any weights are loaded: nobody waits longer than they should."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mirada.embedding import interactive
from mirada.kernel.errors import EncoderUnavailable
from testing.sharing import SharingRuntime

LONGEST_LOADING_S = 30.0


@pytest.fixture
def slow_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Say when weights are being loaded, which do not come while the test runs."""
    has_begun, test_is_over = threading.Event(), threading.Event()

    def load_in_vain(*args: Any, **options: Any) -> Any:
        has_begun.set()
        test_is_over.wait(LONGEST_LOADING_S)
        raise EncoderUnavailable("The test is over.")

    monkeypatch.setattr(SharingRuntime, "_load_encoder", load_in_vain)
    yield has_begun
    test_is_over.set()


def test_every_kind_of_query_hears_503_while_weights_are_still_loading(
    slow_weights: threading.Event, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactive, "LOADING_WAIT_S", 0.001)

    for query in ({"text": "cat"}, {"vector": [1.0] + [0.0] * 511}):
        reply = client.post("/api/v1/search", json=query)

        assert reply.status_code == 503, reply.text
        assert int(reply.headers["Retry-After"]) >= 1
        assert "still being loaded" in reply.json["detail"]
    # Else the real weights would be loaded once this test has taken its patch back.
    assert slow_weights.wait(LONGEST_LOADING_S)
