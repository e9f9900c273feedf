"""Packs from ZIPs over HTTP: ours, WhatsApp's and others', and ZIPs that lie."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from mirada.pictures import quota
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from tests.webapp.test_http_packs import Table

IMPORT = "/api/v1/packs/import"


@pytest.fixture
def table(make_runtime: MakeRuntime) -> Table:
    return Table(make_runtime(auth_mode="keys"))


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes | dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            said = content if isinstance(content, bytes) else json.dumps(content).encode()
            archive.writestr(name, said)
    return out.getvalue()


def noted(seed: int, said: Any) -> bytes:
    """Return a WebP with what WhatsApp's makers of stickers write into its EXIF."""
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    head = b"II*\0\x08\0\0\0\x01\0AW\x07\0" + struct.pack("<L", len(content)) + b"\x16\0\0\0"
    out = io.BytesIO()
    Pillow.open(io.BytesIO(picture(seed))).save(out, "WEBP", lossless=True, exif=head + content)
    return out.getvalue()


def send(
    table: Table, content: bytes, who: str = "ana", key: str | None = None, **form: str
) -> Any:
    name = form.pop("name", "cats.zip")
    headers = {} if key is None else {"Idempotency-Key": key}
    data = {"file": as_upload(content, name, "application/zip"), **form}
    return table.ask("POST", IMPORT, who=who, headers=headers, data=data)


def brought(table: Table, content: bytes, **more: Any) -> Any:
    reply = send(table, content, **more)
    assert reply.status_code == 201, reply.get_json()
    body = reply.get_json()
    assert reply.headers["Location"] == body["pack"]["url"]
    assert body["taken"] + body["refused"] == body["count"] == len(body["results"])
    return body


def inside(table: Table, body: Any, who: str = "ana") -> list[tuple[str, list[str]]]:
    found = table.told("GET", f"{body['pack']['images_url']}?limit=100", who=who)["results"]
    return [(each["image"]["filename"], each["emojis"]) for each in found]


def statuses(body: Any) -> list[tuple[str, int]]:
    return [(each["name"], each["status"]) for each in body["results"]]


def staged(table: Table) -> list[str]:
    folder = Path(table.runtime.settings.image_dir)
    return [str(each) for each in folder.glob("*staging*/*")]


@pytest.mark.parametrize("form", ["originals", "whatsapp", "telegram", "signal"])
def test_what_went_out_comes_in_again(table: Table, form: str) -> None:
    ids = []
    for seed in (1, 2, 3):
        data = {"file": as_upload(picture(seed)), "is_public": "true"}
        ids.append(table.ask("POST", "/api/v1/images", data=data).get_json()["id"])
    url = table.pack(title="Happy cats", description="For good days")
    emojis = {str(ids[0]): ["😀", "🐱"], str(ids[1]): ["❤️"], str(ids[2]): ["👨‍👩‍👧"]}
    table.told("POST", f"{url}/images", {"image_ids": ids[::-1], "emojis": emojis})
    table.told("PATCH", url, {"cover_image_id": ids[1]})
    out = table.ask("POST", f"{url}/export", {"format": form})
    content = out.data
    assert out.status_code == 200, out.get_json()
    out.close()
    for who in ("ben", "ana"):
        body = brought(table, content, who=who)
        assert (body["pack"]["title"], body["author"]) == ("Happy cats", "ana")
        assert (body["taken"], body["refused"], body["notes"]) == (3, 0, [])
        kept = 1 if form == "signal" else 2
        told = [said for _, said in inside(table, body, who)]
        assert told == [["👨‍👩‍👧"], ["❤️"], ["😀", "🐱"][:kept]]
        assert body["pack"]["is_public"] is False
        cover = table.told("GET", f"{body['pack']['images_url']}?limit=9", who=who)["results"]
        wanted = None if form == "whatsapp" else cover[1]["image"]["id"]
        assert body["pack"]["cover_image_id"] == wanted
        assert table.told("GET", body["pack"]["url"], who=who)["description"] == (
            "For good days" if form == "originals" else None
        )
    # Her own originals are used, and not made twice.
    if form == "originals":
        assert {each["image_id"] for each in body["results"]} == set(ids)
    assert staged(table) == []


def test_a_pack_of_the_sample_app_has_a_folder_and_an_icon(table: Table) -> None:
    def pack(identifier: str, *names: str) -> dict[str, Any]:
        stickers = [{"image_file": each, "emojis": ["☕", "🙂"]} for each in names]
        return {
            "identifier": identifier,
            "name": f"Cuppy {identifier}",
            "publisher": "Jane Doe",
            "tray_image_file": "tray.png",
            "stickers": stickers,
        }

    packs = [pack("1", "02.webp", "01.webp"), pack("2", "01.webp")]
    content = zipped(
        ("assets/contents.json", {"sticker_packs": packs}),
        ("assets/1/tray.png", picture(9)),
        ("assets/1/01.webp", noted(1, {})),
        ("assets/1/02.webp", noted(2, {})),
        ("assets/2/tray.png", picture(8)),
        ("assets/2/01.webp", noted(3, {})),
    )
    detail = assert_problem(send(table, content), 422, "invalid_input")["detail"]
    assert "2 packs: 1, 2" in detail
    assert_problem(send(table, content, identifier="3"), 422, "invalid_input")
    body = brought(table, content, identifier="1", is_public="true", tags="cup")
    assert (body["pack"]["title"], body["author"]) == ("Cuppy 1", "Jane Doe")
    assert inside(table, body) == [("02.webp", ["☕", "🙂"]), ("01.webp", ["☕", "🙂"])]
    assert statuses(body) == [("assets/1/02.webp", 201), ("assets/1/01.webp", 201)]
    assert body["pack"]["is_public"] is True
    assert len(table.told("GET", "/api/v1/images?tag=cup", who="ben")["results"]) == 2


def test_stickers_tell_their_pack_and_emojis(table: Table) -> None:
    said = {"sticker-pack-name": "Dogs \N{DOG FACE}", "sticker-pack-publisher": "Bo"}
    stickers = [(f"{number}.webp", noted(number, said | {"emojis": ["🐶"]})) for number in (10, 2)]
    texts = ("title.txt", "\ufeffMy dogs\n".encode()), ("author.txt", b"Ana & Bo")
    body = brought(table, zipped(*stickers, *texts, ("tray.png", picture(5))), name="d.wastickers")
    assert (body["pack"]["title"], body["author"]) == ("My dogs", "Ana & Bo")
    # As people count, and the icon is no sticker.
    assert inside(table, body) == [("2.webp", ["🐶"]), ("10.webp", ["🐶"])]
    without = brought(table, zipped(*stickers))
    assert (without["pack"]["title"], without["author"]) == ("Dogs \N{DOG FACE}", "Bo")
    assert brought(table, zipped(*stickers), title="Mine")["pack"]["title"] == "Mine"
    plain = brought(table, zipped(("a.png", picture(1))), name="holidays.zip")
    assert plain["pack"]["title"] == "holidays"


def test_what_a_file_says_of_itself_is_not_believed(table: Table) -> None:
    deep = b'{"emojis": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    content = zipped(
        ("1.webp", noted(1, b"{ no json }")),
        ("2.webp", noted(2, deep)),
        ("3.webp", noted(3, {"emojis": {"a": 1}, "sticker-pack-name": 7})),
        ("4.webp", noted(4, {"emojis": ["😀", "🐱", "❤️", "☕"] * 250})),
        ("5.webp", noted(5, {"emojis": ["no", 5, None, "x" * 9_000, "😀😀🐱"]})),
        ("6.webp", noted(6, {"emojis": "☕", "sticker-pack-name": "T\0 \n" + "x" * 10_000})),
        ("7.webp", b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff"),
    )
    body = brought(table, content)
    assert statuses(body)[-1] == ("7.webp", 422)
    told = [said for _, said in inside(table, body)]
    assert told == [[], [], [], ["😀", "🐱", "❤️"], ["😀", "🐱"], ["☕"]]
    assert body["pack"]["title"] == "T " + "x" * 148
    assert body["notes"] == ["4.webp has many emojis; the first 3 were taken."]


def test_a_list_that_lies_is_told_of(table: Table) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    manifest = {
        "title": "x" * 10_000,
        "description": ["no text"],
        "cover": {"file": "../up.png"},
        "stickers": [
            {"file": "b.png", "emoji": "😀"},
            {"file": "b.png", "emoji": "🐱"},
            {"file": "../up.png"},
            {"file": "gone.png"},
            {"file": 7},
            "odd",
            {"file": "link.png"},
            {"file": "same.png"},
        ],
    }
    content = zipped(
        ("manifest.json", manifest),
        ("a.png", picture(1)),
        ("b.png", picture(2)),
        ("same.png", picture(2)),
        ("../up.png", picture(3)),
        (link, b"/etc/passwd"),
        ("notes.txt", b"words"),
    )
    body = brought(table, content)
    assert body["pack"]["title"] == "x" * 150
    assert statuses(body) == [
        ("../up.png", 422),
        ("link.png", 422),
        ("b.png", 201),
        ("../up.png", 422),
        ("gone.png", 422),
        ("a sticker without a name", 422),
        ("link.png", 422),
        ("same.png", 200),
        ("a.png", 201),
        ("notes.txt", 415),
    ]
    assert inside(table, body) == [("b.png", ["😀"]), ("a.png", [])]
    assert [each.split(" ", 1)[0] for each in body["notes"]] == ["b.png", "same.png"]
    for lie in (b"[" * 100_000, b"no json", b"[1]", {"stickers": 7}, {"stickers": {"a": 1}}):
        told = brought(table, zipped(("manifest.json", lie), ("a.png", picture(1))))
        assert statuses(told) == [("a.png", 200)]
    large = brought(table, zipped(("manifest.json", bytes(3_000_000)), ("a.png", picture(1))))
    assert "larger than 1024 KB" in large["notes"][0]
    many = {"stickers": [{"file": "a.png"}] * 20_000}
    assert (
        "20,000 stickers"
        in brought(table, zipped(("manifest.json", many), ("a.png", picture(1))))["notes"][0]
    )
    assert staged(table) == []


def test_a_zip_that_holds_no_pack_makes_none(make_runtime: MakeRuntime) -> None:
    table = Table(make_runtime(auth_mode="keys", max_upload_mb=1))
    problem = assert_problem(send(table, zipped(("a.txt", b"words"))), 422, "invalid_input")
    assert problem["errors"]["file"][0].startswith("a.txt: ")
    assert_problem(send(table, b"no zip"), 415, "unsupported_image")
    assert_problem(send(table, b"PK\x03\x04" + bytes(50)), 422, "corrupt_image")
    assert_problem(send(table, zipped()), 422, "invalid_input")
    many = zipped(*((f"{number}", b"") for number in range(300)))
    assert_problem(send(table, many), 422, "invalid_input")
    end = many.rindex(b"PK\x05\x06")
    lie = many[: end + 8] + b"\xff\xff\xff\xff" + many[end + 12 :]
    assert_problem(send(table, lie), 422, "invalid_input")
    # The long form's record is found behind the longest comment, too.
    problem = assert_problem(send(table, long_form(65_535)), 422, "invalid_input")
    assert "ZIP64" in problem["detail"]
    nameless = zipped(("a", b"words")).replace(b"a", b"\0")
    assert_problem(send(table, nameless), 422, "invalid_input")
    bomb = zipped(("bomb.png", bytes(50_000_000)), ("a.png", picture(1)))
    assert statuses(brought(table, bomb)) == [("a.png", 201), ("bomb.png", 413)]
    assert_problem(send(table, bomb, title=" "), 422, "invalid_input")
    assert_problem(send(table, bomb, odd="1"), 422, "invalid_input")
    assert send(table, bomb, who="nobody").status_code == 401
    assert len(table.told("GET", "/api/v1/packs")["results"]) == 1
    assert staged(table) == []


def long_form(comment: int) -> bytes:
    """Return a ZIP64 of 2,000 folders, whose short record says that it is one."""
    one = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, *(0,) * 8, 1, *(0,) * 6) + b"/"
    listed = one * 2_000
    sizes = (2_000, 2_000, len(listed), 4)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *sizes)
    place = struct.pack("<4sLQL", b"PK\x06\x07", 0, 4 + len(listed), 1)
    short = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0xFFFFFFFF, comment)
    return b"PK\x03\x04" + listed + record + place + short + bytes(comment)


def test_sent_again_it_makes_nothing_twice(table: Table) -> None:
    content = zipped(("a.png", picture(1)), ("b.png", picture(2)), ("c.txt", b"no"))
    first = brought(table, content, key="one")
    gone = first["results"][1]["image_id"]
    table.ask("DELETE", f"/api/v1/images/{gone}")
    reply = send(table, content, key="one")
    assert reply.headers["Idempotent-Replayed"] == "true"
    again = reply.get_json()
    assert again["pack"]["id"] == first["pack"]["id"]
    # What was deleted since does not come back by a retry.
    assert statuses(again) == [("a.png", 200), ("b.png", 409), ("c.txt", 409)]
    assert_problem(send(table, content, key="one", title="Other"), 422, "invalid_input")
    second = brought(table, content)
    assert second["pack"]["id"] != first["pack"]["id"]
    assert [each["status"] for each in second["results"]] == [200, 201, 415]
    assert second["results"][1]["image_id"] != gone
    table.ask("DELETE", first["pack"]["url"])
    assert_problem(send(table, content, key="one"), 409, "conflict")


def test_a_quota_ends_a_pack_where_it_is_reached(table: Table) -> None:
    with table.runtime.transaction() as session:
        quota.change_quota(session, table.ids["ana"], {"quota_images": 2})
    content = zipped(*((f"{seed}.png", picture(seed)) for seed in (1, 2, 3)))
    body = brought(table, content)
    assert statuses(body) == [("1.png", 201), ("2.png", 201), ("3.png", 403)]
    assert body["pack"]["image_count"] == 2
    assert_problem(send(table, zipped(("4.png", picture(4)))), 422, "invalid_input")


def test_nothing_is_taken_in_where_no_pack_can_be_made(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.packs.packs.MOST_PACKS", 1)
    table.pack()
    assert_problem(send(table, zipped(("a.png", picture(1)))), 409, "conflict")
    assert table.told("GET", "/api/v1/images")["results"] == []


def test_others_pictures_are_not_told_of(table: Table) -> None:
    data = {"file": as_upload(picture(1)), "is_public": "false"}
    theirs = table.ask("POST", "/api/v1/images", data=data, who="ben").get_json()["id"]
    body = brought(table, zipped(("a.png", picture(1)), ("b.png", picture(2))))
    assert statuses(body) == [("a.png", 201), ("b.png", 201)]
    assert theirs not in {each["image_id"] for each in body["results"]}
