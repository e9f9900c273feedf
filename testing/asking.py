"""Searches over HTTP by hand, and pictures that show texts."""

from __future__ import annotations

import itertools
from typing import Any

from mirada.db.models import Image
from mirada.embedding.embed import store_embedding
from mirada.kernel.embeddings import l2_normalise
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery, as_upload
from testing.pictures import picture

A_FEW_NEAR = [0, 8, 16, 24, 32, *range(100, 250, 6)]
"""Degrees of 30 pictures: those near 0 stand out from the rest."""


def search(gallery: Gallery, **query: Any) -> Any:
    """Return the reply to a search as JSON."""
    return gallery.client.post("/api/v1/search", json=query)


def ids_of(response: Any) -> list[int]:
    """Return the ids of what a search found."""
    assert response.status_code == 200, response.get_json()
    return [found["image"]["id"] for found in response.get_json()["results"]]


class Words:
    """A client whose pictures show texts, and an encoder to which different texts are unrelated."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        from testing.application import create_app

        self.client = create_app(self.runtime).test_client()
        runtime.space()
        self._seeds = itertools.count(1)

    def hang(self, *texts: str, **fields: Any) -> int:
        """Upload a picture that shows all these texts."""
        data = {"file": as_upload(picture(next(self._seeds))), **fields}
        response = self.client.post("/api/v1/images", data=data)
        assert response.status_code == 201, response.get_json()
        space_id, space = self.runtime.space()
        with self.runtime.transaction() as session:
            image = session.get_one(Image, response.get_json()["id"])
            vector = l2_normalise(self.encoder.encode_texts(texts).sum(axis=0))
            store_embedding(session, image.content_id, space_id, space, vector)
        self.runtime.index(space_id).refresh()
        self.encoder.texts.clear()
        return int(response.get_json()["id"])

    def found(self, **query: Any) -> list[int]:
        return ids_of(self.client.post("/api/v1/search", json=query))
