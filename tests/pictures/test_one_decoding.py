"""The decoding that checks a picture gives the worker its pixels as well; nothing is left behind."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select

from mirada.adapters.image_store.handed import WANTED
from mirada.db.models import Content, Embedding
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.copies import tail_of
from mirada.kernel.errors import InvalidInput
from mirada.pictures.derivatives import remove_picture
from testing.pictures import picture
from testing.registering import take_in
from testing.worksite import Site
from workers.runner import JobRunner
from workers.sweeper import Sweeper

VERBS = ("inspect", "inspect_and_decode", "decode", "see", "shrink", "thumbnails")


@pytest.fixture
def asked(site: Site, monkeypatch: Any) -> list[str]:
    """What the decoder is asked for, in order."""
    found: list[str] = []

    def noted(verb: str) -> Any:
        work = getattr(site.runtime.decoder, verb)

        def noting(*arguments: Any) -> Any:
            found.append(verb)
            return work(*arguments)

        return noting

    for verb in VERBS:
        monkeypatch.setattr(site.runtime.decoder, verb, noted(verb))
    return found


@pytest.fixture
def large_encoder(site: Site, monkeypatch: Any) -> None:
    """An encoder whose pixels are as many as a thumbnail's: 2 x 160, as the bundled one."""
    monkeypatch.setattr(site.encoder, "input_side_px", 160)


def embed(site: Site) -> None:
    runner = JobRunner(site.runtime)
    runner.run_batches(CREATE_EMBEDDINGS)
    runner.stop(0)


def take(site: Site, data: bytes) -> None:
    staged = site.runtime.image_store.stage()
    staged.stream.write(data)
    take_in(site.runtime, staged, owner_id=site.owner_id, is_public=False, declared_media_type=None)


def waiting(site: Site) -> list[Path]:
    folder = site.runtime.settings.data_dir / "handed"
    return [path for path in folder.iterdir() if path.name != WANTED] if folder.exists() else []


def want(site: Site) -> None:
    site.runtime.handed.want(2 * site.encoder.input_side_px)


def vectors(site: Site) -> list[bytes]:
    with site.runtime.reading() as session:
        rows = session.execute(select(Embedding.vector).order_by(Embedding.content_id))
        return list(rows.scalars())


@pytest.mark.usefixtures("large_encoder")
def test_a_picture_is_decoded_once_for_check_vector_palette_and_thumbnail(
    site: Site, asked: list[str]
) -> None:
    site.upload(1, size=(300, 200))
    embed(site)  # the worker says what it wants
    assert asked == ["inspect", "see"]
    asked.clear()

    site.upload(2, size=(300, 200))
    assert len(waiting(site)) == 1
    embed(site)

    assert asked == ["inspect_and_decode", "shrink"]
    assert site.statuses() == {"READY": 2}
    assert not waiting(site)
    with site.runtime.reading() as session:
        content = session.execute(select(Content).order_by(Content.id.desc())).scalars().first()
    assert content is not None
    assert content.palette
    webp = site.runtime.copies.read(content.storage_key, tail_of(320))
    assert webp is not None
    seen = Pillow.open(io.BytesIO(webp))
    original = Pillow.open(site.runtime.image_store.path(content.storage_key))
    assert seen.size == (300, 200)
    far = np.asarray(seen.convert("RGB")).astype(int) - np.asarray(original.convert("RGB"))
    assert np.abs(far).mean() < 8


@pytest.mark.usefixtures("large_encoder")
def test_the_vector_is_the_one_of_a_second_decoding(site: Site, asked: list[str]) -> None:
    for data in (picture(2, "JPEG", (300, 200)), picture(2, "JPEG", (300, 200)) + b"other bytes"):
        take(site, data)
        embed(site)
    assert asked == ["inspect", "see", "inspect_and_decode", "shrink"]
    first, second = vectors(site)
    assert first == second


def test_a_small_encoder_s_pixels_make_no_thumbnail(site: Site, asked: list[str]) -> None:
    want(site)
    site.upload(1, size=(300, 200))
    embed(site)
    assert asked == ["inspect_and_decode", "see"]
    assert not waiting(site)
    with site.runtime.reading() as session:
        key = session.execute(select(Content.storage_key)).scalar_one()
    webp = site.runtime.copies.read(key, tail_of(320))
    assert webp is not None
    assert Pillow.open(io.BytesIO(webp)).size == (300, 200)


def test_known_bytes_leave_no_pixels_a_second_time(site: Site) -> None:
    want(site)
    site.upload(1)
    site.upload(1)
    assert len(waiting(site)) == 1


def test_what_is_not_registered_leaves_no_pixels(site: Site) -> None:
    want(site)

    def refusing(*_: Any) -> None:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        site.upload(1, together_with=refusing)
    assert not waiting(site)


def test_a_deleted_picture_leaves_no_pixels(site: Site) -> None:
    want(site)
    site.upload(1)
    assert len(waiting(site)) == 1
    with site.runtime.reading() as session:
        key = session.execute(select(Content.storage_key)).scalar_one()
    remove_picture(site.runtime, key)
    assert not waiting(site)


def test_pixels_that_nobody_takes_are_swept_away(site: Site, monkeypatch: Any) -> None:
    want(site)
    site.upload(1)
    monkeypatch.setattr("mirada.adapters.image_store.handed.OLD_AFTER_S", -1.0)
    Sweeper(site.runtime).sweep()
    assert not waiting(site)


def test_what_may_be_clear_or_moves_is_decoded_by_the_worker(site: Site, asked: list[str]) -> None:
    want(site)
    for data in (picture(1, alpha=True), picture(1, "GIF", frames=3)):
        take(site, data)
    assert not waiting(site)
    embed(site)
    assert site.statuses() == {"READY": 2}
    assert asked == ["inspect_and_decode"] * 2 + ["see"] * 2
