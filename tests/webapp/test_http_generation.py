"""What is read from uploaded files over HTTP, and who is shown it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from mirada.db.models import IdempotencyKey, Image
from mirada.kernel.user_text import MAX_TEXT_CHARS
from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, on_arc, without_duplicates
from testing.generators import (
    DRAW_THINGS_XMP,
    SAMPLES,
    WEBUI,
    chunk,
    exif_block,
    gif_with,
    jpeg_with,
    png_by_pillow,
    png_with,
    text_chunk,
    webp_with,
)
from testing.pictures import picture

KeyOf = Callable[..., dict[str, str]]
GENERATED = png_by_pillow({"parameters": WEBUI})
NOT_SAID = (
    *("negative_prompt", "seed", "steps", "cfg_scale", "sampler", "scheduler"),
    *("model", "model_hash", "width", "height"),
)
PROMPT = SAMPLES[0].expected["prompt"]


def upload(
    gallery: Gallery, data: bytes, headers: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(data, "p", "application/octet-stream"), **fields},
        headers=headers or {},
    )
    assert response.status_code == 201, response.get_json()
    return response.get_json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("prompt", [None, "", " \n "], ids=["none", "empty", "blank"])
def test_a_missing_prompt_is_filled_from_the_file(gallery: Gallery, prompt: str | None) -> None:
    body = upload(gallery, GENERATED, **({} if prompt is None else {"prompt": prompt}))
    assert body["prompt"] == PROMPT
    assert body["generation"]["seed"] == "1894027718"
    assert without_duplicates(gallery.get(body["url"])) == body


def test_a_generation_is_an_object_with_every_name(gallery: Gallery) -> None:
    generation = upload(gallery, png_with(text_chunk("parameters", "a pear")))["generation"]
    assert generation == {
        "generator": "AUTOMATIC1111",
        "prompt": "a pear",
        "extra": {},
        **dict.fromkeys(NOT_SAID),
    }


def test_a_picture_of_no_generator_has_none(gallery: Gallery) -> None:
    body = upload(gallery, picture(1))
    assert (body["prompt"], body["generation"]) == (None, None)
    with gallery.runtime.reading() as session:
        null = session.query(Image.id).where(Image.generation.is_(None)).all()
    assert null == [(body["id"],)]


def test_a_prompt_that_a_person_gave_is_never_overwritten(gallery: Gallery) -> None:
    body = upload(gallery, GENERATED, prompt="my own words")
    assert body["prompt"] == "my own words"
    assert body["generation"]["prompt"] == PROMPT
    changed = gallery.client.patch(body["url"], json={"prompt": None}).get_json()
    assert (changed["prompt"], changed["generation"]["prompt"]) == (None, PROMPT)


def test_a_prompt_that_is_too_long_in_the_file_is_cut_and_one_that_is_sent_refused(
    gallery: Gallery,
) -> None:
    long = png_with(text_chunk("parameters", "word " * 200_000 + "\nSteps: 2, Seed: 1", "zTXt"))
    assert len(upload(gallery, long)["prompt"]) == MAX_TEXT_CHARS - 1
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(long), "prompt": "x" * (MAX_TEXT_CHARS + 1)},
    )
    assert response.status_code == 422


def test_nothing_is_read_where_that_was_asked_for(gallery: Gallery) -> None:
    body = upload(gallery, GENERATED, read_metadata="false")
    assert (body["prompt"], body["generation"]) == (None, None)
    response = gallery.client.post(
        "/api/v1/images", data={"file": as_upload(GENERATED), "read_metadata": "perhaps"}
    )
    assert response.status_code == 422
    assert "read_metadata" in response.get_json()["errors"]


def test_the_same_bytes_are_read_for_each_image_as_its_owner_wished(gallery: Gallery) -> None:
    first = upload(gallery, GENERATED, read_metadata="false")
    second = upload(gallery, GENERATED)
    assert (first["prompt"], second["prompt"]) == (None, PROMPT)
    assert gallery.get(first["url"]).get_json()["generation"] is None


def test_what_a_file_says_is_no_part_of_what_was_asked_for(gallery: Gallery) -> None:
    headers = {"Idempotency-Key": "a1"}
    first = upload(gallery, GENERATED, headers)
    again = upload(gallery, GENERATED, headers, read_metadata="true")
    assert again["id"] == first["id"]
    # Written out: a key that was used before metadata was read must still be known.
    fields = {"filename": "p", "prompt": None, "caption": None, "is_public": False}
    asked = [hashlib.sha256(GENERATED).hexdigest(), fields]
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    with gallery.runtime.reading() as session:
        (kept,) = session.query(IdempotencyKey.fingerprint).one()
    assert kept == hashlib.sha256(canonical.encode()).hexdigest()
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(GENERATED, "p", ""), "read_metadata": "false"},
        headers=headers,
    )
    assert response.status_code == 422


def test_hostile_files_are_pictures_like_any_other(gallery: Gallery) -> None:
    for data in (
        png_with(text_chunk("parameters", "a" * 100_000_000, "zTXt")),
        png_with(text_chunk("prompt", '{"a":' * 1_000_000, "zTXt")),
        png_with(
            text_chunk("parameters", '{"prompt": "p", "seed": NaN, "cfg": 1e999, "steps": -1}')
        ),
        png_with(text_chunk("parameters", 'a\\ud800\nSteps: 3, Sampler: "\\ud800", Seed: 1')),
        jpeg_with((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
    ):
        body = upload(gallery, data)
        assert without_duplicates(gallery.get(body["url"])) == body


SECRET = "ZQXJ-7f3a91"
HIDING = {
    "png": png_with(
        text_chunk("parameters", f"{SECRET} pear\nNegative prompt: {SECRET}\nSteps: 2, Seed: 1"),
        text_chunk("Comment", SECRET, "zTXt"),
        text_chunk("XML:com.adobe.xmp", DRAW_THINGS_XMP + SECRET, "iTXt"),
        chunk(b"eXIf", exif_block({0x010E: SECRET.encode()})[6:]),
        text_chunk("Author", SECRET, "iTXt"),
    ),
    "jpg": jpeg_with(
        (
            0xE1,
            exif_block({0x010E: SECRET.encode()}, user_comment=b"ASCII\0\0\0" + SECRET.encode()),
        ),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET.encode()),
        (0xED, b"Photoshop 3.0\0" + SECRET.encode()),
        (0xFE, f"{SECRET} pear\nSteps: 2, Seed: 1".encode()),
    ),
    "webp": webp_with(
        exif=exif_block({0x0131: SECRET.encode()}),
        xmp=f"<description>{SECRET}</description>".encode(),
    ),
    "gif": gif_with(f"{SECRET} pear\nSteps: 2, Seed: 1".encode()),
}


@pytest.mark.parametrize("suffix", HIDING)
def test_nothing_that_stands_in_a_file_reaches_others_but_the_prompt(
    guarded: Gallery, key_of: KeyOf, suffix: str
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    assert SECRET.encode() in HIDING[suffix]
    body = upload(guarded, HIDING[suffix], ana, is_public="true", prompt="a pear", caption="mine")
    guarded.place(body["id"], 0)
    static = f"/static/{body['id']}.{suffix}"
    for headers in (ben, {}):
        for address in (body["file_url"], body["thumbnail_url"], static):
            response = guarded.get(address, headers=headers)
            assert (response.status_code, response.mimetype) == (200, "image/webp")
            sent = response.get_data()
            assert SECRET.encode() not in sent
            assert not {b"EXIF", b"XMP ", b"ICCP"} & {sent[at : at + 4] for at in range(len(sent))}
        for reply in (
            guarded.get(body["url"], headers=headers),
            guarded.get("/api/v1/images", headers=headers),
            guarded.client.post("/api/v1/search", json={"vector": on_arc(0)}, headers=headers),
        ):
            assert reply.status_code == 200
            assert SECRET not in reply.get_data(as_text=True)
            assert '"a pear"' in reply.get_data(as_text=True)
        assert guarded.get(body["url"], headers=headers).get_json()["generation"] is None
    for address in (body["file_url"], static):
        assert guarded.get(address, headers=ana).get_data() == HIDING[suffix]


def test_a_prompt_from_a_file_is_as_public_as_its_image(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    body = upload(guarded, GENERATED, ana, is_public="true")
    seen = guarded.get(body["url"], headers=ben).get_json()
    assert (seen["prompt"], seen["generation"]) == (PROMPT, None)
    assert guarded.get(body["url"], headers=ana).get_json()["generation"]["steps"] == 28
    (listed,) = guarded.get("/api/v1/images", headers=ana).get_json()["results"]
    assert listed["generation"]["model"] == "sd_xl_base_1.0"
    guarded.client.patch(body["url"], json={"is_public": False}, headers=ana)
    assert guarded.get(body["url"], headers=ben).status_code == 404


def test_an_administrator_sees_no_more_than_others(guarded: Gallery, key_of: KeyOf) -> None:
    body = upload(guarded, GENERATED, key_of("ana"), is_public="true")
    seen = guarded.get(body["url"], headers=key_of("root", is_administrator=True)).get_json()
    assert seen["generation"] is None


@pytest.mark.mariadb
def test_every_program_s_settings_are_stored_in_mariadb(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str
) -> None:
    from testing.application import create_app

    runtime = make_runtime(database_url=migrated_mariadb_url, auth_mode="open")
    gallery = Gallery(runtime, create_app(runtime).test_client())
    for sample in SAMPLES:
        if any(":" in name for name in sample.texts):
            continue
        body = upload(gallery, png_by_pillow(sample.texts))
        assert without_duplicates(gallery.get(body["url"])) == body
        found = body["generation"]
        assert {name: found[name] for name in sample.expected} == dict(sample.expected)
        assert body["prompt"] == found["prompt"]
    # The longest that there can be, every character outside the first plane.
    deep = {"prompt": "🐈" * 20_000, "negative_prompt": "🐕" * 20_000, "seed": 2**64 - 1}
    deep |= {f"setting {n} 🦊": "🦊" * 900 for n in range(60)}
    body = upload(gallery, png_with(text_chunk("parameters", json.dumps(deep), "zTXt")))
    found = gallery.get(body["url"]).get_json()["generation"]
    assert found["prompt"] == "🐈" * MAX_TEXT_CHARS == body["prompt"]
    assert found["seed"] == "18446744073709551615"
    assert len(found["extra"]) == 32
