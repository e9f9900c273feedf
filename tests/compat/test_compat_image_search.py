"""System B, the image search backend: its exact paths, keys and meaning."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image as Pillow

from testing.gallery import assert_problem, files_in
from testing.pictures import picture


@pytest.mark.parametrize("path", ["/search-similar-images/", "/search-similar-images"])
def test_a_stored_picture_finds_itself_first(server: Any, path: str) -> None:
    first, _ = (server.upload(picture(seed)) for seed in (1, 2))
    response = server.post_picture(path, picture(1))
    assert response.status_code == 200
    assert set(response.get_json()) == {"results"}
    best, *rest = response.get_json()["results"]
    assert set(best) == {"id", "similarity", "path"}
    assert best["id"] == first["id"]
    assert best["similarity"] >= 0.999
    assert best["path"] == f"/static/{first['id']}.png"
    assert all(found["similarity"] >= 0.2 for found in rest)


def test_nothing_under_the_threshold_and_no_more_than_the_limit(
    serve: Callable[..., Any],
) -> None:
    strict = serve(similarity_threshold=0.9999)
    for seed in (1, 2, 3):
        strict.upload(picture(seed))
    found = strict.post_picture("/search-similar-images/", picture(1)).get_json()["results"]
    assert [result["id"] for result in found] == [1]
    generous = serve(similarity_threshold=-1, similarity_limit=2)
    for seed in (1, 2, 3):
        generous.upload(picture(seed))
    found = generous.post_picture("/search-similar-images/", picture(1)).get_json()["results"]
    assert len(found) == 2
    assert found[0]["similarity"] >= found[1]["similarity"]


def test_a_query_picture_is_not_kept(server: Any) -> None:
    server.upload(picture(1))
    before = files_in(server.runtime.settings.image_dir)
    server.post_picture("/search-similar-images/", picture(2))
    assert files_in(server.runtime.settings.image_dir) == before
    assert len(server.client.get("/api/v1/images").get_json()["results"]) == 1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"hello", 415, "unsupported_image"), (b"", 422, "corrupt_image")],
)
def test_a_query_that_is_no_picture_is_refused(
    server: Any, content: bytes, status: int, code: str
) -> None:
    assert_problem(server.post_picture("/search-similar-images/", content), status, code)


def test_a_missing_file_is_422(server: Any) -> None:
    response = server.client.post("/search-similar-images/", data={"image": "x"})
    assert response.status_code in {415, 422}
    response = server.client.post(
        "/search-similar-images/", data={"a": "x"}, content_type="multipart/form-data"
    )
    assert "file" in assert_problem(response, 422, "invalid_input")["errors"]


@pytest.mark.parametrize(
    ("fmt", "extension", "media_type"),
    [("PNG", "png", "image/png"), ("JPEG", "jpg", "image/jpeg"), ("GIF", "gif", "image/gif")],
)
def test_a_found_path_serves_the_stored_image(
    server: Any, fmt: str, extension: str, media_type: str
) -> None:
    image = server.upload(picture(1, fmt))
    (found,) = server.post_picture("/search-similar-images/", picture(1, fmt)).get_json()["results"]
    assert found["path"] == f"/static/{image['id']}.{extension}"
    with server.client.get(found["path"], buffered=True) as response:
        assert response.get_data() == picture(1, fmt)
        assert response.mimetype == media_type
        assert "attachment" not in response.headers.get("Content-Disposition", "")
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    [
        "1.jpg",
        "1",
        "1.",
        ".png",
        "01.png",
        "99.png",
        "1.svg",
        "..%2f..%2fwsgi.py",
        "vendor.json",
        "vendor/vendor.json",
        "999999999999999999999999.png",
    ],
)
def test_static_serves_stored_images_and_nothing_else(server: Any, name: str) -> None:
    server.upload(picture(1, "PNG"))
    assert_problem(server.client.get(f"/static/{name}"), 404, "not_found")


def test_a_photograph_s_orientation_does_not_matter(server: Any) -> None:
    upright = picture(4, "JPEG", (120, 80))
    with Pillow.open(io.BytesIO(upright)) as image:
        turned = image.transpose(Pillow.Transpose.ROTATE_90)
        exif = Pillow.Exif()
        exif[0x0112] = 6
        out = io.BytesIO()
        turned.save(out, "JPEG", exif=exif, quality=95)
    server.upload(upright)
    (found,) = server.post_picture("/search-similar-images/", out.getvalue()).get_json()["results"]
    assert found["similarity"] > 0.98
