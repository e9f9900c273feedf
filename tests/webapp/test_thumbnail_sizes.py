"""Thumbnails over HTTP: three sizes, and nothing is read for whoever has them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image as Pillow

from mirada.pictures import thumbnails
from mirada.runtime import SilentDoorbell
from testing.gallery import Gallery, assert_problem
from testing.pictures import picture


def test_a_thumbnail_that_no_worker_makes_is_503_with_retry_after(
    gallery: Gallery, monkeypatch: Any
) -> None:
    address = gallery.upload()["thumbnail_url"]
    gallery.runtime.doorbell = SilentDoorbell()
    monkeypatch.setattr(thumbnails, "WAIT_S", 0.1)

    reply = gallery.get(address)

    assert_problem(reply, 503, "unavailable")
    assert int(reply.headers["Retry-After"]) > 0


def test_sizes_are_asked_for_by_name(gallery: Gallery) -> None:
    content = picture(1, "JPEG", (1_400, 700))
    sent = gallery.client.post("/api/v1/images", data={"file": (io.BytesIO(content), "a.jpg")})
    address = sent.get_json()["thumbnail_url"]

    for asked, size in (("", 320), ("?size=320", 320), ("?size=640", 640), ("?size=1280", 1280)):
        reply = gallery.get(address + asked)
        assert (reply.status_code, reply.mimetype) == (200, "image/webp")
        assert Pillow.open(io.BytesIO(reply.get_data())).size == (size, size // 2)
        same = gallery.get(address + asked, headers={"If-None-Match": reply.headers["ETag"]})
        assert same.status_code == 304
    assert_problem(gallery.get(f"{address}?size=100"), 422, "invalid_input")


def test_a_304_reads_no_file(gallery: Gallery, monkeypatch: Any) -> None:
    address = gallery.upload()["thumbnail_url"]
    tag = gallery.get(address).headers["ETag"]
    monkeypatch.setattr(gallery.runtime.copies, "read", None)

    assert gallery.get(address, headers={"If-None-Match": tag}).status_code == 304
    assert gallery.get(address, headers={"If-None-Match": f'"other", {tag}'}).status_code == 304
