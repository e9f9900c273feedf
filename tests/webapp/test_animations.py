"""Animations move for whoever may see them, and are nothing but pixels for all but their owner."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from mirada.adapters.image_decoder import animation, stealth
from mirada.db.models import Content
from mirada.jobs import sweep
from mirada.kernel.copies import MOVING
from mirada.pictures import thumbnails
from mirada.pictures.thumbnails import MAKE_THUMBNAILS
from mirada.runtime import Runtime, SilentDoorbell
from testing import heic
from testing.gallery import Gallery, as_upload, assert_problem
from testing.patience import wait_until
from testing.pictures import picture, pixels
from workers.runner import run_job

KeyOf = Callable[[str], dict[str, str]]
SECRET = "the-harbour-at-noon"


def sticker(fmt: str = "GIF", count: int = 4, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return an animation whose first frame is empty, with metadata of every kind it can hold."""
    frames = [Image.new("RGBA", size)]
    frames += [pixels(seed, size, alpha=True).convert("RGBA") for seed in range(1, count)]
    exif = Image.Exif()
    exif[0x010E] = SECRET
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "loop": 0}
    options["duration"] = [40 * (n + 1) for n in range(count)]
    if fmt == "GIF":
        options["comment"] = SECRET.encode()
    else:
        options |= {"exif": exif, "icc_profile": SECRET.encode()}
    out = io.BytesIO()
    frames[0].save(out, fmt, **options)
    assert SECRET.encode() in out.getvalue() or fmt == "PNG"
    return out.getvalue()


def sent(gallery: Gallery, data: bytes, headers: dict[str, str], **fields: str) -> dict[str, Any]:
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(data, "a.bin", "application/octet-stream"), **fields},
        headers=headers,
    )
    assert response.status_code == 201, response.get_json()
    body: dict[str, Any] = response.get_json()
    return body


def frames_of(data: bytes) -> tuple[int, list[int]]:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    lengths = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        lengths.append(int(image.info.get("duration", 0)))
    return len(lengths), lengths


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "AVIF"])
def test_an_animation_moves_for_whoever_may_see_it(
    guarded: Gallery, key_of: KeyOf, fmt: str
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    original = sticker(fmt)
    image = sent(guarded, original, ana, is_public="true")
    assert image["is_animated"] is True
    assert image["animation_url"] == f"{image['url']}/animation"
    assert guarded.get(image["file_url"], headers=ana).get_data() == original
    extension = "png" if fmt == "PNG" else fmt.lower()
    addresses = [image["animation_url"], image["file_url"], f"/static/{image['id']}.{extension}"]
    for headers in (ben, {}):
        for address in addresses:
            reply = guarded.get(address, headers=headers)
            assert (reply.status_code, reply.mimetype) == (200, "image/webp")
            assert "X-Still-Reason" not in reply.headers
            assert frames_of(reply.get_data()) == (4, [40, 80, 120, 160])
            assert SECRET.encode() not in reply.get_data()
            assert not any(part in reply.get_data() for part in (b"EXIF", b"XMP ", b"ICCP"))
            assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert "sandbox" in reply.headers["Content-Security-Policy"]
            assert reply.headers["Cache-Control"] == "private, no-cache"
    owners = guarded.get(image["animation_url"], headers=ana)
    assert frames_of(owners.get_data())[0] == 4
    tag = owners.headers["ETag"]
    again = guarded.get(image["animation_url"], headers=ben | {"If-None-Match": tag})
    assert again.status_code == 304
    part = guarded.get(image["animation_url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.get_data()) == (206, b"RIFF")
    # A thumbnail stands still, and shows the first frame with something on it.
    thumbnail = guarded.get(image["thumbnail_url"]).get_data()
    assert frames_of(thumbnail)[0] == 1
    assert Image.open(io.BytesIO(thumbnail)).convert("RGBA").getextrema()[3] == (0, 255)


def test_an_animation_that_may_not_be_seen_is_absent(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = sent(guarded, sticker(), ana)
    assert guarded.get(image["animation_url"], headers=ana).status_code == 200
    absent = guarded.get("/api/v1/images/999/animation", headers=ben)
    for headers in (ben, {}):
        hidden = guarded.get(image["animation_url"], headers=headers)
        assert_problem(hidden, 404, "not_found")
        told = hidden.get_json()["detail"].replace(str(image["id"]), "N")
        assert told == absent.get_json()["detail"].replace("999", "N")
    guarded.client.patch(image["url"], json={"is_public": True}, headers=ana)
    assert guarded.get(image["animation_url"]).status_code == 200
    guarded.client.patch(image["url"], json={"is_public": False}, headers=ana)
    assert guarded.get(image["animation_url"]).status_code == 404


def test_a_still_picture_has_no_animation(gallery: Gallery) -> None:
    image = gallery.upload()
    assert (image["is_animated"], image["animation_url"]) == (False, None)
    reply = gallery.get(f"{image['url']}/animation")
    assert "not animated" in assert_problem(reply, 404, "not_found")["detail"]


@pytest.mark.parametrize(
    ("bound", "value", "reason"),
    [
        ("MAX_FRAMES", 3, "4 frames"),
        ("MAX_SOURCE_PIXELS", 10_000, "million pixels"),
        ("MAX_COPY_PIXELS", 500, "nothing can be seen"),
        ("MAX_BYTES", 100, "larger than"),
        ("MAX_CPU_S", -1.0, "to copy"),
    ],
)
def test_a_bound_that_is_met_leaves_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, bound: str, value: float, reason: str
) -> None:
    path = tmp_path / "sticker"
    path.write_bytes(sticker())
    monkeypatch.setattr(animation, bound, value)
    limits = animation.Limits(50_000_000, 16_384, (255, 255, 255))
    with pytest.raises(animation.StaysStill, match=reason):
        animation.copied(str(path), limits)


def test_what_is_too_long_to_copy_is_sent_still_with_the_reason(
    guarded: Gallery, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.new("P", (64, 48), n % 2) for n in range(animation.MAX_FRAMES + 1)]
    for frame in frames:
        frame.putpalette([200, 30, 30, 30, 30, 200])
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], optimize=False)
    image = sent(guarded, out.getvalue(), key_of("ana"), is_public="true")
    for address in (image["animation_url"], image["file_url"]):
        reply = guarded.get(address)
        assert (reply.status_code, frames_of(reply.get_data())[0]) == (200, 1)
        assert reply.headers["X-Still-Reason"] == "It has 601 frames; at most 600 are copied."
        again = guarded.get(address, headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status_code, "X-Still-Reason" in again.headers) == (304, True)

    def never(*_: object) -> None:
        raise AssertionError("it was tried a second time")

    monkeypatch.setattr(guarded.runtime.decoder, "animation", never)
    assert guarded.get(image["animation_url"]).status_code == 200


def test_a_broken_frame_leaves_a_still_picture_and_the_server_well(
    guarded: Gallery, key_of: KeyOf
) -> None:
    data = bytearray(picture(1, "GIF", (64, 48), frames=5))
    starts = [at for at in range(13, len(data)) if data[at : at + 3] == b"!\xf9\x04"]
    # The third frame's data says that its codes have 255 bits.
    at = data.index(b",", starts[2] + 8)
    data[at + 10] = 255
    image = sent(guarded, bytes(data), key_of("ana"), is_public="true")
    reply = guarded.get(image["animation_url"])
    assert reply.status_code == 200
    assert frames_of(reply.get_data())[0] == 1 or "X-Still-Reason" not in reply.headers


def test_many_who_ask_at_once_leave_two_threads_free_and_decode_nothing(
    guarded: Gallery, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, threads = guarded.runtime, guarded.runtime.settings.web_threads
    image = sent(guarded, sticker(count=3), key_of("ana"), is_public="true")
    guarded.get(image["file_url"])
    runtime.copies.drop(key_in(runtime), [MOVING])
    runtime.doorbell = SilentDoorbell()
    make = runtime.decoder.animation

    def never(_: object) -> None:
        raise AssertionError("a request decoded")

    def ask(address: str) -> Any:
        reply = guarded.client.application.test_client().get(address)
        return reply.status_code, reply.headers.get("X-Still-Reason"), frames_of(reply.get_data())

    monkeypatch.setattr(runtime.decoder, "animation", never)
    monkeypatch.setattr(thumbnails, "WAIT_S", 30.0)
    with ThreadPoolExecutor(2 * threads) as pool:
        asked = [pool.submit(ask, image["animation_url"]) for _ in range(2 * threads)]
        wait_until(
            lambda: sum(each.done() for each in asked) == len(asked) - (threads - 2),
            what="still copies",
        )
        assert {each.result()[:2] for each in asked if each.done()} == {
            (200, thumbnails.BEING_MADE)
        }
        monkeypatch.setattr(runtime.decoder, "animation", make)
        with runtime.reading() as session:
            (due,) = [job.id for job in sweep.due_jobs(session) if job.kind == MAKE_THUMBNAILS]
        assert run_job(runtime, due)
        answers = [each.result() for each in asked]
    assert [answer[2][0] for answer in answers].count(3) == threads - 2


def key_in(runtime: Runtime) -> str:
    """Return the storage key of the only picture."""
    with runtime.reading() as session:
        return str(session.execute(select(Content.storage_key)).scalar_one())


def test_the_moving_copy_goes_with_its_image(gallery: Gallery) -> None:
    image = sent(gallery, sticker(), {})
    gallery.get(image["animation_url"])
    folder = gallery.runtime.settings.data_dir / "derivatives"
    assert [path for path in folder.rglob("*") if path.is_file()]
    assert gallery.client.delete(f"{image['url']}?now=true").status_code == 204
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_moving_copies_hide_nothing_in_their_opacity(guarded: Gallery, key_of: KeyOf) -> None:
    frames = []
    for seed in range(3):
        frame = pixels(seed, (64, 64)).convert("RGBA")
        frame.putalpha(Image.effect_noise((64, 64), 60))
        frames.append(frame)
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:], duration=50)
    image = sent(guarded, out.getvalue(), key_of("ana"), is_public="true")
    copy = Image.open(io.BytesIO(guarded.get(image["file_url"]).get_data()))
    for number in range(3):
        copy.seek(number)
        copy.load()
        levels = set(copy.convert("RGBA").getchannel("A").tobytes())
        assert all(level == 0 or level & 1 for level in levels)
        assert stealth.texts(copy.convert("RGBA")) == {}


@pytest.mark.parametrize("name", ["HEIC", "TIFF"])
def test_what_browsers_cannot_show_is_an_attachment_or_a_copy_for_its_owner(
    gallery: Gallery, name: str
) -> None:
    data = (heic.FILES / "heic_part_0.heic").read_bytes() if name == "HEIC" else picture(1, "TIFF")
    image = sent(gallery, data, {})
    assert image["media_type"] == f"image/{name.lower()}"
    original = gallery.get(image["file_url"])
    assert (original.mimetype, original.get_data()) == (f"image/{name.lower()}", data)
    assert original.headers["Content-Disposition"].startswith("attachment")
    assert "Sec-Fetch-Dest" in original.headers["Vary"]
    shown = gallery.get(image["file_url"], headers={"Sec-Fetch-Dest": "image"})
    assert shown.mimetype == "image/webp"
    assert gallery.get(f"/static/{image['id']}.{name.lower()}").mimetype == "image/webp"
    bmp = sent(gallery, picture(2, "BMP"), {})
    assert gallery.get(f"/static/{bmp['id']}.bmp").mimetype == "image/bmp"
