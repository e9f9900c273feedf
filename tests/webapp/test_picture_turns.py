"""While too many pictures are looked at, one more is 503 with a time to try again; all else is answered."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mirada.embedding.interactive import MANY_PICTURES, picture_turn
from mirada.kernel.turns import Turns
from mirada.runtime import Runtime
from testing.pictures import picture

PLACES = (
    "/api/v1/search",
    "/api/v1/embeddings",
    "/api/v1/classifications",
    "/embed-image",
    "/classify",
    "/search-similar-images/",
)


@pytest.mark.parametrize("path", PLACES)
def test_a_picture_too_many_is_refused(client: Any, runtime: Runtime, path: str) -> None:
    runtime.remember("picture_turns", Turns(1, 0, 0.01, MANY_PICTURES))

    def ask() -> Any:
        return client.post(path, data={"file": (io.BytesIO(picture(1)), "q.png")})

    with picture_turn(runtime):
        reply = ask()
        assert reply.status_code == 503, reply.text
        assert int(reply.headers["Retry-After"]) >= 1
        assert client.get("/api/v1/images").status_code == 200
        assert client.post("/api/v1/embeddings", json={"texts": ["a cat"]}).status_code == 200
    assert ask().status_code in (200, 201)
