"""Every refusal of CONTRACT "Pictures" over HTTP: a clear problem, and nothing is kept."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import encode_multipart

from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, assert_problem, nothing_kept
from testing.heic import FILES
from testing.pictures import mutated, picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
FORM_HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n"
)
FORM_TAIL = b"\r\n--b--\r\n"


def flat_png(width: int, height: int) -> bytes:
    """Return a PNG of one colour: huge in pixels, small in bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + crc

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = zlib.compressobj(9)
    row = b"\0" * (width + 1)
    packed = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "name", "media_type", "status", "code"),
    [
        (b"hello", "a.txt", "text/plain", 415, "unsupported_image"),
        (b"hello", "a.png", "image/png", 415, "unsupported_image"),
        (SVG, "a.svg", "image/svg+xml", 415, "unsupported_image"),
        (picture(1, "ICO"), "a.ico", "image/vnd.microsoft.icon", 415, "unsupported_image"),
        (picture(1, "BMP"), "a.tif", "image/tiff", 415, "unsupported_image"),
        (picture(1, "TIFF")[:-9], "a.tif", "image/tiff", 422, "corrupt_image"),
        (picture(1, "PNG"), "a.jpg", "image/jpeg", 415, "unsupported_image"),
        (picture(1, "JPEG", (300, 200))[:-900], "a.jpg", "image/jpeg", 422, "corrupt_image"),
        (picture(1, "PNG", (300, 200))[:-900], "a.png", "image/png", 422, "corrupt_image"),
        (b"", "a.png", "image/png", 422, "corrupt_image"),
        (flat_png(8000, 6300), "a.png", "image/png", 413, "image_too_large"),
        (flat_png(16_385, 2), "a.png", "image/png", 413, "image_too_large"),
    ],
    ids=[
        "text",
        "text as PNG",
        "SVG",
        "ICO",
        "BMP as TIFF",
        "truncated TIFF",
        "PNG as JPEG",
        "truncated JPEG",
        "truncated PNG",
        "empty",
        "50.4 megapixels",
        "side of 16,385",
    ],
)
def test_a_bad_picture_is_refused(
    gallery: Gallery, content: bytes, name: str, media_type: str, status: int, code: str
) -> None:
    with nothing_kept(gallery.runtime):
        response = gallery.client.post(
            "/api/v1/images", data={"file": as_upload(content, name, media_type)}
        )
    assert_problem(response, status, code)


@pytest.fixture
def small(make_runtime: Callable[..., Runtime]) -> Gallery:
    """A gallery that takes 1 MB at most."""
    from testing.application import create_app

    runtime = make_runtime(max_upload_mb=1)
    return Gallery(runtime, create_app(runtime).test_client())


@pytest.mark.parametrize(
    ("size", "code"), [(1024**2 + 1, "image_too_large"), (5 * 1024**2, "request_too_large")]
)
def test_a_file_over_the_limit_is_413(small: Gallery, size: int, code: str) -> None:
    small.runtime.image_store.probe()
    with nothing_kept(small.runtime):
        response = small.client.post(
            "/api/v1/images",
            data=FORM_HEAD + b"\x89PNG" + b"x" * (size - 4) + FORM_TAIL,
            content_type="multipart/form-data; boundary=b",
        )
    assert "MAX_UPLOAD_MB" in assert_problem(response, 413, code)["detail"]


@pytest.mark.parametrize(
    "fields",
    [{"caption": "x" * 600_000}, {f"field{number}": "x" for number in range(80)}],
    ids=["a field of 600 kB", "80 fields"],
)
def test_a_form_with_too_much_beside_the_file_is_413_and_says_so(
    gallery: Gallery, fields: dict[str, str]
) -> None:
    gallery.runtime.image_store.probe()
    with nothing_kept(gallery.runtime):
        # In memory: the client would spool so large a body to a file and leave that open.
        boundary, body = encode_multipart({**fields, "file": "x"})
        response = gallery.client.post(
            "/api/v1/images", data=body, content_type=f"multipart/form-data; boundary={boundary}"
        )
    detail = assert_problem(response, 413, "request_too_large")["detail"]
    assert "fields" in detail
    assert "MAX_UPLOAD_MB" not in detail


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({}, "file"),
        ({"caption": "no file"}, "file"),
        ({"picture": True}, "file"),
        ({"file": "not a file part"}, "file"),
    ],
    ids=["nothing", "no file", "wrong name", "a text field"],
)
def test_a_body_without_exactly_one_file_is_422(
    gallery: Gallery, parts: dict[str, Any], field: str
) -> None:
    data = {name: as_upload(picture(3)) if part is True else part for name, part in parts.items()}
    with nothing_kept(gallery.runtime):
        response = gallery.client.post(
            "/api/v1/images", data=data, content_type="multipart/form-data"
        )
    assert field in assert_problem(response, 422, "invalid_input")["errors"]


def test_two_files_are_422(gallery: Gallery) -> None:
    with nothing_kept(gallery.runtime):
        response = gallery.client.post(
            "/api/v1/images", data={"file": [as_upload(picture(1)), as_upload(picture(2))]}
        )
    assert_problem(response, 422, "invalid_input")


def test_a_body_that_is_no_form_is_415(gallery: Gallery) -> None:
    response = gallery.client.post("/api/v1/images", data=b"picture", content_type="text/plain")
    assert_problem(response, 415, "unsupported_image")


def test_a_form_that_breaks_off_leaves_nothing(gallery: Gallery) -> None:
    gallery.runtime.image_store.probe()
    with nothing_kept(gallery.runtime):
        response = gallery.client.post(
            "/api/v1/images",
            data=FORM_HEAD + picture(1)[:500],
            content_type="multipart/form-data; boundary=b",
        )
    assert response.status_code in {400, 422}
    assert response.mimetype == "application/problem+json"


def test_a_type_that_claims_nothing_is_believed_to_the_bytes(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(picture(1, "WEBP"), "a", "application/octet-stream")},
    )
    assert response.get_json()["media_type"] == "image/webp"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP"])
def test_a_packed_body_is_415_whatever_is_in_it(gallery: Gallery, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    packed = gzip.compress(b'{"text": "cat"}')
    response = gallery.client.post("/api/v1/search", data=packed, headers=headers)
    assert "Content-Encoding" in assert_problem(response, 415, "unsupported_media_type")["detail"]
    with nothing_kept(gallery.runtime):
        response = gallery.client.post(
            "/api/v1/images",
            data={"file": as_upload(picture(1))},
            headers={"Content-Encoding": encoding},
        )
    assert_problem(response, 415, "unsupported_media_type")
    assert gallery.client.get("/livez", headers={"Content-Encoding": encoding}).status_code == 200
    plain = {"Content-Encoding": "identity"}
    assert gallery.client.post("/api/v1/feedback", json={}, headers=plain).status_code == 422


def test_a_body_shorter_than_its_length_is_not_stored(gallery: Gallery) -> None:
    body = FORM_HEAD + picture(1) + FORM_TAIL
    for is_terminated in (False, True):
        with nothing_kept(gallery.runtime):
            response = gallery.client.post(
                "/api/v1/images",
                data=body,
                content_type="multipart/form-data; boundary=b",
                # As a server gives it when the client went away.
                environ_overrides={
                    "CONTENT_LENGTH": str(len(body) + 100),
                    "wsgi.input_terminated": is_terminated,
                },
            )
        assert response.status_code == 400, response.get_json()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (r'filename="C:\fakepath\cat.png"', "cat.png"),
        (r'filename="c:\Users\Ana\Área de Trabalho\gato.png"', "gato.png"),
        (r'filename="\\server\share\cat.png"', "cat.png"),
        ('filename="/home/ana/cat.png"', "cat.png"),
        (r'filename="a \"quoted\" cat.png"', 'a "quoted" cat.png'),
        ("filename=cat.png", "cat.png"),
        (r"""filename="C:\fakepath\x.png"; filename*=UTF-8''gat%C3%B3.png""", "gató.png"),
    ],
)
def test_a_path_of_the_clients_machine_becomes_a_name(
    gallery: Gallery, sent: str, kept: str
) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; {sent}\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + picture(1) + FORM_TAIL
    response = gallery.client.post(
        "/api/v1/images", data=body, content_type="multipart/form-data; boundary=b"
    )
    assert (response.status_code, response.get_json()["filename"]) == (201, kept)


@pytest.mark.parametrize("fmt", ["AVIF", "TIFF", "BMP", "HEIC", "GIF"])
def test_a_damaged_file_is_taken_or_refused_with_a_sentence(gallery: Gallery, fmt: str) -> None:
    whole = (FILES / "heic_part_0.heic").read_bytes() if fmt == "HEIC" else picture(1, fmt)
    random_ = random.Random(fmt)
    for _ in range(8):
        upload = as_upload(mutated(whole, random_), "a.bin", "application/octet-stream")
        response = gallery.client.post("/api/v1/images", data={"file": upload})
        if response.status_code == 201:
            assert gallery.get(response.get_json()["thumbnail_url"]).status_code in (200, 422)
        else:
            assert response.status_code in (413, 415, 422)
            assert response.get_json()["detail"].endswith((".", ")"))
