"""Packs as ZIPs over HTTP: what messengers take, and what is told of what they do not."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from typing import Any

import pytest
from PIL import Image as Pillow

from mirada.db.deadlocks import in_transaction
from mirada.db.models import Image
from mirada.packs import exporting
from mirada.packs.export_files import made
from mirada.pictures.derivatives import remove_picture
from mirada.pictures.trash import erase_trashed
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from tests.webapp.test_http_packs import Table

KIB = 1024


@pytest.fixture
def table(make_runtime: MakeRuntime) -> Table:
    return Table(make_runtime(auth_mode="keys"))


def sent(table: Table, content: bytes, who: str = "ana") -> int:
    kind = "gif" if content.startswith(b"GIF") else "png"
    data = {"file": as_upload(content, f"a.{kind}", f"image/{kind}"), "is_public": "true"}
    reply = table.client.post("/api/v1/images", data=data, headers=table.headers[who])
    return int(reply.get_json()["id"])


def packed(
    table: Table, *contents: bytes, emojis: tuple[str, ...] = ("😀",)
) -> tuple[str, list[int]]:
    ids = [sent(table, each) for each in contents]
    url = table.pack(title="Happy cats")
    body = {"image_ids": ids, "emojis": {str(each): emojis for each in ids}}
    table.told("POST", f"{url}/images", body)
    return url, ids


def unzipped(reply: Any) -> dict[str, bytes]:
    assert reply.status_code == 200, reply.get_json()
    assert reply.mimetype == "application/zip"
    content = reply.data
    # As a server does once the reply is sent.
    reply.close()
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def opened(content: bytes) -> Any:
    return Pillow.open(io.BytesIO(content))


def exported(table: Table, url: str, form: str, who: str = "ana") -> dict[str, bytes]:
    return unzipped(table.ask("POST", f"{url}/export", {"format": form}, who))


def faults(table: Table, url: str, form: str) -> list[dict[str, Any]]:
    told = table.told("POST", f"{url}/export", {"format": form, "dry_run": True})
    assert told["can_be_exported"] is not bool(told["faults"])
    found: list[dict[str, Any]] = told["faults"]
    return found


def test_whatsapp_gets_what_its_sample_app_reads(table: Table) -> None:
    wide = picture(1, size=(300, 100), alpha=True)
    url, _ = packed(table, wide, picture(2, size=(100, 300)), picture(3), emojis=("😀", "🐱"))
    assert faults(table, url, "whatsapp") == []
    files = exported(table, url, "whatsapp")
    (pack,) = json.loads(files["contents.json"])["sticker_packs"]
    assert (pack["name"], pack["publisher"]) == ("Happy cats", "ana")
    assert pack["animated_sticker_pack"] is False
    assert [each["emojis"] for each in pack["stickers"]] == [["😀", "🐱"]] * 3
    for each in pack["stickers"]:
        content = files[each["image_file"]]
        image = opened(content)
        assert (image.format, image.size) == ("WEBP", (512, 512))
        assert len(content) <= 100 * KIB
    # What is no picture is clear, and the picture's own transparency stays.
    first = opened(files[pack["stickers"][0]["image_file"]]).convert("RGBA")
    assert first.getpixel((256, 5))[3] == first.getpixel((256, 507))[3] == 0
    inside = first.crop((0, 175, 512, 337)).getchannel("A").getextrema()
    assert inside == (0, 255) or inside[0] < 10
    icon = opened(files[pack["tray_image_file"]])
    assert (icon.format, icon.size) == ("PNG", (96, 96))
    assert len(files[pack["tray_image_file"]]) <= 50 * KIB


def test_animations_go_on_moving(table: Table) -> None:
    films = [picture(seed, "GIF", frames=4) for seed in (1, 2, 3)]
    url, _ = packed(table, *films)
    files = exported(table, url, "whatsapp")
    (pack,) = json.loads(files["contents.json"])["sticker_packs"]
    assert pack["animated_sticker_pack"] is True
    for each in pack["stickers"]:
        image = opened(files[each["image_file"]])
        assert (image.format, image.size, image.n_frames > 1) == ("WEBP", (512, 512), True)
        assert len(files[each["image_file"]]) <= 500 * KIB
    signal = exported(table, url, "signal")
    for each in json.loads(signal["manifest.json"])["stickers"]:
        image = opened(signal[each["file"]])
        assert (image.format, image.size, image.n_frames > 1) == ("PNG", (512, 512), True)
        assert len(signal[each["file"]]) <= 300 * KIB


def test_telegram_and_signal_get_a_list_beside_their_stickers(table: Table) -> None:
    url, _ = packed(table, picture(1, size=(300, 100)), picture(2), emojis=("😀", "🐱"))
    files = exported(table, url, "telegram")
    told = json.loads(files["manifest.json"])
    assert (told["title"], told["stickers"][0]) == (
        "Happy cats",
        {"file": "001.webp", "emoji": "😀🐱"},
    )
    assert opened(files["001.webp"]).size == (512, 171)
    signal = json.loads(exported(table, url, "signal")["manifest.json"])
    assert signal["cover"] == signal["stickers"][0] == {"file": "001.webp", "emoji": "😀"}


def test_what_messengers_do_not_take_is_named(table: Table) -> None:
    still, film = picture(1), picture(2, "GIF", frames=3)
    url, ids = packed(table, still, film, emojis=())
    told = faults(table, url, "whatsapp")
    assert told[0] == {
        "image_id": None,
        "place": None,
        "code": "too_few",
        "reason": "WhatsApp takes packs of 3 stickers or more; add some.",
    }
    by_place = [(each["image_id"], each["place"]) for each in told[1:]]
    assert by_place == [(ids[0], 1), (ids[1], 2), (ids[1], 2)]
    assert "this one moves, unlike the first" in told[-1]["reason"]
    refused = table.ask("POST", f"{url}/export", {"format": "whatsapp"})
    detail = assert_problem(refused, 409, "conflict")["detail"]
    assert f"Picture 2 ({ids[1]})" in detail
    codes = ["too_few", "no_emoji", "no_emoji", "mixed"]
    assert [each["code"] for each in told] == codes
    (webm,) = [each for each in faults(table, url, "telegram") if "WebM" in each["reason"]]
    assert webm["image_id"] == ids[1]
    for body in ({}, {"format": "odd"}, {"format": "signal", "odd": 1}):
        assert table.ask("POST", f"{url}/export", body).status_code == 422


def test_originals_are_those_of_their_owner(table: Table) -> None:
    mine, bens = picture(1), picture(2)
    url, ids = packed(table, mine)
    ben = sent(table, bens, "ben")
    table.told("POST", f"{url}/images", {"image_ids": [ben]})
    hidden = sent(table, picture(3), "ben")
    table.told("POST", f"{url}/images", {"image_ids": [hidden]})
    table.told("PATCH", f"/api/v1/images/{hidden}", {"is_public": False}, who="ben")
    files = exported(table, url, "originals")
    assert files["001.png"] == mine
    # Of others' pictures it is the copy that everybody gets; of what one does not see, nothing.
    assert opened(files["002.webp"]).format == "WEBP"
    assert set(files) == {"manifest.json", "001.png", "002.webp"}
    table.refused(404, "not_found", "POST", f"{url}/export", {"format": "originals"}, who="ben")
    assert table.ask("POST", f"{url}/export", {"format": "originals"}, "nobody").status_code == 401
    assert ids


def test_a_pack_with_nothing_in_it_is_no_zip(table: Table) -> None:
    url = table.pack()
    for form in ("originals", "telegram", "signal"):
        (fault,) = faults(table, url, form)
        assert (fault["code"], fault["image_id"]) == ("too_few", None)
        assert "1 stickers" not in fault["reason"]
        assert table.ask("POST", f"{url}/export", {"format": form}).status_code == 409


def test_large_packs_are_refused_before_they_are_made(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = packed(table, picture(1), picture(2))
    monkeypatch.setattr("mirada.packs.exporting.MOST_ORIGINALS", 1)
    detail = table.refused(409, "conflict", "POST", f"{url}/export", {"format": "originals"})
    assert "At most 1 pictures" in detail


@pytest.mark.parametrize("is_erased", [False, True])
def test_a_cover_that_is_gone_meanwhile_is_no_icon(
    table: Table, monkeypatch: pytest.MonkeyPatch, is_erased: bool
) -> None:
    url, ids = packed(table, *map(picture, range(4)))
    table.told("PATCH", url, {"is_public": True, "cover_image_id": ids[1]})
    wanted, kept = exported(table, url, "whatsapp", who="ben"), made
    table.told("PATCH", url, {"cover_image_id": ids[0]})

    def hide() -> None:
        # Another request than the one under way.
        client = table.client.application.test_client()
        headers = {**table.headers["ana"], "If-Match": "*"}
        address = f"/api/v1/images/{ids[0]}"
        if is_erased:
            assert client.delete(address, headers=headers).status_code == 204
            erase(table, ids[0])
        else:
            client.patch(address, json={"is_public": False}, headers=headers)

    def made_then_hidden(*arguments: Any) -> Any:
        found = kept(*arguments)
        thread = threading.Thread(target=hide)
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(exporting, "made", made_then_hidden)
    told = exported(table, url, "whatsapp", who="ben")
    assert told["tray.png"] == wanted["tray.png"]


def erase(table: Table, image_id: int) -> None:
    """Erase a picture that is in the trash, as its day does."""

    def erased(session: Any) -> str | None:
        owner_id = session.get(Image, image_id).owner_id
        return erase_trashed(session, image_id, owner_id)

    key = in_transaction(table.runtime.database, erased)
    if key is not None:
        remove_picture(table.runtime, key)
