"""Requests on a first run, before any weights are loaded: nobody waits longer than they should."""

from __future__ import annotations

from typing import Any

import pytest

from webapp import searching


@pytest.mark.usefixtures("bundled_encoder")
def test_every_kind_of_query_hears_503_while_weights_are_still_loading(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "LOADING_WAIT_S", 0.001)

    for query in ({"text": "cat"}, {"vector": [1.0] + [0.0] * 511}):
        reply = client.post("/api/v1/search", json=query)

        assert reply.status_code == 503, reply.text
        assert int(reply.headers["Retry-After"]) >= 1
        assert "still being loaded" in reply.json["detail"]
