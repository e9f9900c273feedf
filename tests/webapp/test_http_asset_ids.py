"""Asset ids: what owners call their images in catalogues of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture

KeyOf = Callable[..., dict[str, str]]


def names(gallery: Gallery, headers: dict[str, str], query: str = "") -> list[str | None]:
    body = gallery.get(f"/api/v1/images{query}", headers=headers).get_json()
    return [image["asset_id"] for image in body["results"]]


def test_an_asset_id_is_kept_shown_and_listed_by(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    first = guarded.upload(headers=ana, asset_id=" sticker-7 ", is_public="true")
    guarded.upload(headers=ana)
    again = guarded.upload(headers=ana, asset_id="sticker-7")
    assert first["asset_id"] == again["asset_id"] == "sticker-7"
    assert guarded.get(first["url"], headers=ana).get_json()["asset_id"] == "sticker-7"
    assert names(guarded, ana) == ["sticker-7", None, "sticker-7"]
    page = guarded.get("/api/v1/images?asset_id=sticker-7&limit=1", headers=ana).get_json()
    assert [image["id"] for image in page["results"]] == [again["id"]]
    rest = guarded.get(page["next"], headers=ana).get_json()
    assert [image["id"] for image in rest["results"]] == [first["id"]]
    assert names(guarded, ana, "?asset_id=sticker-8") == []


def test_nobody_else_learns_what_an_owner_calls_a_picture(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    shown = guarded.upload(headers=ana, asset_id="sku-secret", is_public="true")
    for headers in (ben, {}):
        assert guarded.get(shown["url"], headers=headers).get_json()["asset_id"] is None
        assert names(guarded, headers) == [None]
        assert names(guarded, headers, "?asset_id=sku-secret") == []


def test_an_asset_id_is_part_of_what_a_key_asked_for(gallery: Gallery) -> None:
    def post(**fields: str) -> Any:
        form = {"file": as_upload(picture(1)), **fields}
        return gallery.client.post("/api/v1/images", data=form, headers={"Idempotency-Key": "k"})

    assert post(asset_id="a").status_code == 201
    assert post(asset_id="a").headers["Idempotent-Replayed"] == "true"
    assert_problem(post(asset_id="b"), 422, "invalid_input")


@pytest.mark.parametrize("wrong", ["x" * 192, "a\x00b", "a\x1fb"])
def test_an_asset_id_that_is_none_is_refused(gallery: Gallery, wrong: str) -> None:
    form = {"file": as_upload(picture(1)), "asset_id": wrong}
    reply = gallery.client.post("/api/v1/images", data=form)
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == ["asset_id"]


def test_a_blank_one_is_none(gallery: Gallery) -> None:
    assert gallery.upload(asset_id=" ")["asset_id"] is None
