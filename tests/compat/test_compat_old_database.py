"""A database that the version of 2026-11-26 filled, three stickers of the demo, served by this one.

Its vectors are of the sticker model alone. The bundled model of today has a tower for photographs and a
space of its own; it must not come between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from mirada.config import PROJECT_ROOT
from mirada.db.models import Embedding, Space
from tests.compat.conftest import Server

DUMP = Path(__file__).with_name("databases") / "filled-2026-11-26.sql"
OLD_SPACE = "image:mirada-stickers:sha256-ffcfd12e844f:openclip-80-bicubic-191bdc46-v1"
STICKERS = {"red heart": 1, "cat face": 2, "pizza": 3}


@pytest.fixture(params=["bundled", "auto"])
def old(request: pytest.FixtureRequest, serve: Callable[..., Server], tmp_path: Path) -> Server:
    """The new code on a copy of the old database, migrated as at a start."""
    data = tmp_path / "data"
    data.mkdir()
    database = sqlite3.connect(data / "mirada.db")
    database.executescript(DUMP.read_text(encoding="utf-8"))
    database.close()
    server = serve(data_dir=data, clip_model=request.param)
    server.runtime.migrate()
    return server


def test_it_is_served_by_the_model_that_filled_it(old: Server, sticker_encoder: Any) -> None:
    assert old.runtime.encoder.space.name == OLD_SPACE
    space_id, _ = old.runtime.space()
    old.runtime.index(space_id).refresh()

    for text, image_id in STICKERS.items():
        reply = old.client.post("/api/v1/search", json={"text": text, "k": 3})
        found = reply.get_json()["results"]
        assert [len(found), found[0]["image"]["id"]] == [3, image_id]
        cosine = (sticker_encoder.encode_texts([text]) @ stored(old, image_id))[0]
        assert found[0]["similarity"] == pytest.approx(float(cosine), abs=1e-3)


def test_what_comes_new_is_of_its_space(old: Server, sticker_encoder: Any) -> None:
    sticker = PROJECT_ROOT / "demo" / "stickers" / "bus.png"
    image = old.upload(sticker.read_bytes())

    found = old.client.post("/api/v1/search", json={"text": "bus", "k": 1}).get_json()["results"]
    assert found[0]["image"]["id"] == image["id"]
    with old.runtime.reading() as session:
        names = session.scalars(select(Space.encoder).where(Space.kind == "image")).all()
        assert session.scalar(select(func.count()).select_from(Embedding)) == len(STICKERS) + 1
    assert names == ["mirada-stickers"]


def test_its_owner_can_name_what_to_switch_to(old: Server) -> None:
    named = old.runtime.named_model("bundled", None)
    assert named.encoder == "mirada-stickers-photos"
    assert old.runtime.load_model(named.source, named.source_tag).space.encoder == named.encoder


def stored(server: Server, image_id: int) -> np.ndarray:
    """Return an image's vector as it lies in the database."""
    with server.runtime.reading() as session:
        vectors = session.scalars(select(Embedding.vector).order_by(Embedding.content_id)).all()
    vector = np.frombuffer(vectors[image_id - 1], dtype="<f4")
    return vector / np.linalg.norm(vector)
