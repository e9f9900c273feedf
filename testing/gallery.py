"""Pictures uploaded over HTTP, with vectors put beside them where no encoder is meant to be needed."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from flask.testing import FlaskClient

from mirada.db.models import Image
from mirada.db.spaces import pin_space
from mirada.embedding.embed import store_embedding
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, l2_normalise
from mirada.runtime import Runtime
from testing.pictures import picture

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "test", "v1", "none", 8)
PROBLEM = "application/problem+json"


def as_upload(content: bytes, name: str = "picture.png", media_type: str = "image/png") -> Any:
    """Return what Flask's test client takes for a file part."""
    return (io.BytesIO(content), name, media_type)


def on_arc(degrees: float) -> list[float]:
    """Return a unit vector so many degrees away from the first axis."""
    angle = np.radians(degrees)
    return [float(np.cos(angle)), float(np.sin(angle)), 0, 0, 0, 0, 0, 0]


class Gallery:
    """A client, and what a worker would do, done by hand: picture n lies n degrees along an arc."""

    def __init__(self, runtime: Runtime, client: FlaskClient) -> None:
        self.runtime = runtime
        self.client = client
        self._seeds = itertools.count(100)
        with runtime.transaction() as session:
            self.space_id = pin_space(session, SPACE).id

    def get(self, address: str, headers: dict[str, str] | None = None) -> Any:
        """GET to the last byte, so that files are closed as a server would."""
        return self.client.get(address, headers=headers or {}, buffered=True)

    def upload(
        self,
        *,
        seed: int | None = None,
        headers: dict[str, str] | None = None,
        degrees: float | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return the new image; with `degrees` it has a vector and is READY."""
        content = picture(next(self._seeds) if seed is None else seed)
        response = self.client.post(
            "/api/v1/images",
            data={"file": as_upload(content), **fields},
            headers=headers or {},
        )
        assert response.status_code == 201, response.get_json()
        body: dict[str, Any] = response.get_json()
        if degrees is not None:
            self.place(body["id"], degrees)
        return body

    def place(self, image_id: int, degrees: float) -> None:
        """Give an image the vector at that place of the arc, and wait until it is searchable."""
        with self.runtime.transaction() as session:
            image = session.get_one(Image, image_id)
            store_embedding(
                session, image.content_id, self.space_id, SPACE, l2_normalise(on_arc(degrees))
            )
        self.runtime.index(self.space_id).refresh()


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check that a reply is a complete problem and return its body."""
    body: dict[str, Any] = response.get_json()
    assert (response.status_code, response.mimetype) == (status, PROBLEM), response.get_data()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"/problems/{code}"
    assert body["title"]
    assert len(body["detail"]) > 10
    assert isinstance(body["errors"], dict)
    assert body["request_id"] == response.headers["X-Request-ID"]
    return body


def without_duplicates(response: Any) -> dict[str, Any]:
    """Return an image that was read as lists and other replies have it: they count no duplicates."""
    body: dict[str, Any] = response.get_json()
    assert body.pop("duplicates").keys() == {"same_file", "near", "same_subject"}
    return body


def files_in(folder: Any) -> list[str]:
    """Return every file below a folder, staging area included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@contextmanager
def nothing_kept(runtime: Runtime) -> Iterator[None]:
    """Check that what happens inside leaves no row and no file behind."""

    def state() -> tuple[list[str], int]:
        with runtime.reading() as session:
            return files_in(runtime.settings.image_dir), session.query(Image).count()

    before = state()
    yield
    assert state() == before
