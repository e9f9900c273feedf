"""Several files in one upload, and ZIPs: each taken in or refused by itself, within limits."""

from __future__ import annotations

import io
import stat
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mirada.kernel.errors import InvalidInput
from mirada.pictures import many
from mirada.pictures.archives import Archive
from testing.application import create_app
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture

PATH = "/api/v1/images/files"


def send(gallery: Gallery, *files: tuple[str, bytes], **fields: str) -> Any:
    parts = [as_upload(content, name, "application/octet-stream") for name, content in files]
    return gallery.client.post(PATH, data={"files": parts, **fields})


def outcomes(gallery: Gallery, *files: tuple[str, bytes], **fields: str) -> list[tuple[str, int]]:
    reply = send(gallery, *files, **fields)
    assert reply.status_code == 207, reply.get_json()
    body = reply.get_json()
    assert body["taken"] + body["refused"] == body["count"] == len(body["results"])
    return [(each["name"], each["status"]) for each in body["results"]]


def zipped(
    *files: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def staged(gallery: Gallery) -> list[str]:
    folder = Path(gallery.runtime.settings.image_dir)
    return [str(each) for each in folder.glob("*staging*/*")]


def test_a_broken_file_does_not_stop_the_others(gallery: Gallery) -> None:
    files = ("a.png", picture(1)), ("b.txt", b"no picture"), ("c.png", picture(2)), ("d.png", b"")
    assert outcomes(gallery, *files, tags="new, two", is_public="true") == [
        ("a.png", 201),
        ("b.txt", 415),
        ("c.png", 201),
        ("d.png", 422),
    ]
    listed = gallery.get("/api/v1/images?tag=new").get_json()["results"]
    assert [(each["filename"], each["is_public"]) for each in listed] == [
        ("c.png", True),
        ("a.png", True),
    ]
    # What is there already is not made twice.
    assert outcomes(gallery, ("again.png", picture(1))) == [("again.png", 200)]
    assert staged(gallery) == []


def test_the_pictures_of_a_zip_are_taken_in(gallery: Gallery) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    content = zipped(
        ("folder/", b""),
        ("folder/a.png", picture(1)),
        ("../up.png", picture(2)),
        ("/root.png", picture(3)),
        ("..\\win.png", picture(4)),
        (link, b"/etc/passwd"),
        ("__MACOSX/a.png", b"junk"),
        ("notes.txt", b"words"),
    )
    assert outcomes(gallery, ("all.zip", content), ("own.png", picture(5))) == [
        ("folder/a.png", 201),
        ("../up.png", 422),
        ("/root.png", 422),
        ("..\\win.png", 422),
        ("link.png", 422),
        ("notes.txt", 415),
        ("own.png", 201),
    ]
    names = [each["filename"] for each in gallery.get("/api/v1/images").get_json()["results"]]
    assert names == ["own.png", "a.png"]
    assert staged(gallery) == []


def test_a_zip_is_not_unpacked_beyond_its_limits(make_runtime: Any) -> None:
    runtime = make_runtime(max_upload_mb=1)
    gallery = Gallery(runtime, create_app(runtime).test_client())
    bomb = zipped(("bomb.png", bytes(50_000_000)), ("a.png", picture(1)))
    assert len(bomb) < 1_000_000
    # It stops at the limit of one file, and what comes after is taken.
    assert outcomes(gallery, ("bomb.zip", bomb)) == [("bomb.png", 413), ("a.png", 201)]
    # Many that are each small enough are too much together.
    some = zipped(*((f"{number}.png", bytes(1_000_000)) for number in range(8)))
    statuses = [status for _, status in outcomes(gallery, ("many.zip", some))]
    assert statuses == [415] * 4 + [413] * 4
    assert staged(gallery) == []


@pytest.mark.parametrize("count", [many.MOST_FILES + 1, 2_000])
def test_a_zip_of_too_many_is_refused_whole(gallery: Gallery, count: int) -> None:
    content = zipped(*((f"{number}", b"") for number in range(count)))
    assert outcomes(gallery, ("many.zip", content[:60_000_000])) == [("many.zip", 422)]
    assert gallery.get("/api/v1/images").get_json()["results"] == []


def test_the_list_of_a_zip_is_not_read_where_it_is_long(tmp_path: Path) -> None:
    content = zipped(("a.png", picture(1)))
    end = content.rindex(b"PK\x05\x06")
    path = tmp_path / "long.zip"
    limits = {"most_pictures": 60, "max_bytes_each": 1, "max_bytes": 1}
    # It says 100,000 in the long form, or 65,535 in the usual one.
    for lie in (
        content[:end] + b"PK\x06\x07" + bytes(16) + content[end:],
        content[: end + 8] + b"\xff\xff\xff\xff" + content[end + 12 :],
        content[: end + 12] + b"\xff\xff\xff\x7f" + content[end + 16 :],
    ):
        path.write_bytes(lie)
        with pytest.raises(InvalidInput, match="lists too much"):
            Archive(path, **limits)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_damaged_zip_is_refused(gallery: Gallery, keep: float) -> None:
    content = zipped(("a.png", picture(1)))
    assert outcomes(gallery, ("cut.zip", content[: int(len(content) * keep)])) == [("cut.zip", 422)]


def test_a_damaged_file_in_a_zip_is_refused_alone(gallery: Gallery) -> None:
    content = bytearray(zipped(("a.png", picture(1)), ("b.png", picture(2))))
    content[60:90] = bytes(30)
    assert [status for _, status in outcomes(gallery, ("bad.zip", bytes(content)))] == [422, 201]


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_could_not_be_unpacked_in_parts_is_refused(gallery: Gallery, packing: int) -> None:
    # 50 MB in some hundred bytes: unpacked in one go, whatever the limit is.
    content = bytearray(zipped(("big.png", bytes(50_000_000)), packing=packing))
    damaged = content.copy()
    damaged[60:70] = b"\xff" * 10
    for each in (content, damaged):
        tracemalloc.start()
        reply = send(gallery, ("all.zip", bytes(each)), ("b.png", picture(3)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        refused, taken = reply.get_json()["results"]
        assert (refused["name"], refused["status"], taken["status"] // 100) == ("big.png", 422, 2)
        assert "deflate" in refused["problem"]["detail"]
        assert most < 10_000_000
    assert staged(gallery) == []


def test_a_name_that_is_no_text_is_refused_alone(gallery: Gallery) -> None:
    content = bytearray(zipped(("\u00e9.png", picture(1)), ("b.png", picture(2))))
    content[30:32] = b"\xff\xff"
    assert outcomes(gallery, ("all.zip", bytes(content))) == [("\u00e9.png", 422), ("b.png", 201)]


def test_without_files_or_with_too_many_nothing_is_done(gallery: Gallery) -> None:
    assert_problem(gallery.client.post(PATH, data={"tags": "a"}), 415, "unsupported_image")
    files = [(f"{number}.png", b"x") for number in range(many.MOST_FILES + 1)]
    assert_problem(send(gallery, *files), 422, "invalid_input")
