"""Copies for showing never outlive the picture they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirada.kernel.audience import Audience
from mirada.kernel.errors import NotFound
from mirada.pictures import images
from mirada.pictures.derivatives import drop_derivatives, full_copy
from mirada.runtime import Runtime
from testing.gallery import Gallery


def kept(runtime: Runtime) -> list[Path]:
    folder = runtime.settings.data_dir / "derivatives"
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def storage_key(gallery: Gallery) -> str:
    image = gallery.upload(seed=1)
    with gallery.runtime.reading() as session:
        found = images.get_image(session, image["id"], Audience(image["owner"]["id"]))
        return str(found.content.storage_key)


def test_one_made_while_its_original_was_deleted_is_not_kept(
    gallery: Gallery, storage_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = gallery.runtime
    thumbnail = runtime.decoder.thumbnail

    def deleted_meanwhile(*arguments: Any) -> bytes:
        webp = thumbnail(*arguments)
        runtime.image_store.delete(storage_key)
        drop_derivatives(runtime, storage_key)
        return webp

    monkeypatch.setattr(runtime.decoder, "thumbnail", deleted_meanwhile)

    with pytest.raises(NotFound):
        full_copy(runtime, storage_key)
    assert kept(runtime) == []


def test_one_that_cannot_be_read_or_removed_is_made_afresh_and_reported(
    gallery: Gallery, storage_key: str
) -> None:
    runtime = gallery.runtime
    first = full_copy(runtime, storage_key)
    (path,) = kept(runtime)
    path.unlink()
    path.mkdir()

    assert full_copy(runtime, storage_key) == first
    drop_derivatives(runtime, storage_key)


def test_a_deletion_that_cannot_remove_the_copies_still_removes_the_original(
    gallery: Gallery, storage_key: str
) -> None:
    runtime = gallery.runtime
    full_copy(runtime, storage_key)
    (path,) = kept(runtime)
    path.unlink()
    path.mkdir()
    original = runtime.image_store.path(storage_key)
    (image,) = gallery.get("/api/v1/images").json["results"]

    assert gallery.client.delete(f"{image['url']}?now=true").status_code == 204
    assert not original.exists()
