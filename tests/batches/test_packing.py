"""Many images put into a pack at once, taken out, and both undone with every place kept."""

from __future__ import annotations

from typing import Any

import pytest

from mirada.batches import packing
from testing.gallery import assert_problem
from tests.batches.town import Town
from workers.runner import run_job


def packed(town: Town, *images: int, **fields: Any) -> int:
    """Return the id of a new pack of ana's."""
    ana = town.keys["ana"]
    made = town.client.post("/api/v1/packs", json={"title": "A", **fields}, headers=ana)
    pack_id = int(made.get_json()["id"])
    if images:
        body = {"image_ids": list(images), "emojis": {str(images[1]): ["🔭"]}}
        reply = town.client.post(f"/api/v1/packs/{pack_id}/images", json=body, headers=ana)
        assert reply.status_code == 200, reply.get_json()
    return pack_id


def inside(town: Town, pack_id: int) -> list[tuple[int, list[str]]]:
    reply = town.get(f"/api/v1/packs/{pack_id}/images", headers=town.keys["ana"])
    return [(each["image"]["id"], each["emojis"]) for each in reply.get_json()["results"]]


def order(town: Town, pack_id: int) -> list[int]:
    return [image_id for image_id, _ in inside(town, pack_id)]


def test_many_go_into_a_pack_in_their_order_and_out_again(town: Town) -> None:
    a, b, c, d = town.hang("ana", 4)
    (public,) = town.hang("ben", 1, is_public="true")
    (private,) = town.hang("ben", 1)
    pack_id = packed(town, a, b)
    before = inside(town, pack_id)
    batch = town.done("ana", "add_to_pack", pack_id, ids=[d, b, public, c, private, 999])
    assert batch["done"] == 4
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [
        (private, "not_found"),
        (999, "not_found"),
    ]
    assert order(town, pack_id) == [a, b, d, public, c]
    assert town.undo("ana", batch).get_json()["undone"] == 3
    assert inside(town, pack_id) == before


def test_what_is_taken_out_comes_back_to_its_place(town: Town) -> None:
    a, b, c, d, e = town.hang("ana", 5)
    pack_id = packed(town, e, b, d, a, c)
    url, ana = f"/api/v1/packs/{pack_id}", town.keys["ana"]
    town.client.patch(url, json={"cover_image_id": b}, headers=ana)
    before = inside(town, pack_id)
    batch = town.done("ana", "remove_from_pack", pack_id, ids=[b, a, c])
    assert order(town, pack_id) == [e, d]
    assert town.words(b) == set()
    assert town.undo("ana", batch).get_json()["undone"] == 3
    assert inside(town, pack_id) == before
    assert town.get(url, headers=ana).get_json()["cover_image_id"] == b
    assert town.words(b) != set()
    # Others came meanwhile, where it was: it goes before them.
    batch = town.done("ana", "remove_from_pack", pack_id, ids=[c, b])
    (late,) = town.hang("ana", 1)
    town.done("ana", "add_to_pack", pack_id, ids=[late])
    town.undo("ana", batch)
    assert order(town, pack_id) == [e, b, d, a, c, late]


def test_a_picture_that_was_marked_since_or_hidden_stays(town: Town) -> None:
    a, b, c = town.hang("ana", 3)
    (public,) = town.hang("ben", 1, is_public="true")
    pack_id = packed(town)
    batch = town.done("ana", "add_to_pack", pack_id, ids=[a, b, c, public])
    url, ana = f"/api/v1/packs/{pack_id}/images/{a}", town.keys["ana"]
    assert town.client.patch(url, json={"emojis": ["🔭"]}, headers=ana).status_code == 200
    town.client.delete(f"/api/v1/images/{b}", headers=ana)
    path = f"/api/v1/images/{public}"
    town.client.patch(path, json={"is_public": False}, headers=town.keys["ben"])
    body = town.undo("ana", batch).get_json()
    assert {each["id"]: each["code"] for each in body["left"]} == {
        a: "changed_since",
        public: "not_found",
    }
    # The one in the trash is out of the pack when it is back.
    town.client.post(f"/api/v1/images/{b}/restore", headers=ana)
    assert order(town, pack_id) == [a]


def test_a_full_pack_takes_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = town.hang("ana", 3)
    pack_id = packed(town, a, b)
    monkeypatch.setattr(packing, "MOST_IMAGES", 2)
    batch = town.done("ana", "add_to_pack", pack_id, ids=[c, a])
    assert batch["done"] == 1
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(c, "conflict")]


def test_a_pack_is_ones_own_and_filled_by_hand(town: Town) -> None:
    mine, theirs = town.hang("ana", 1), town.hang("ben", 1)
    public = packed(town, is_public=True)
    for action in ("add_to_pack", "remove_from_pack"):
        for value in (public, 999, 2**70):
            assert_problem(town.send("ben", action, value, ids=theirs), 404, "not_found")
        fills = packed(town, query={"filter": {"kind": "still"}})
        assert_problem(town.send("ana", action, fills, ids=mine), 409, "conflict")
        for wrong in (None, "public", True, [public]):
            reply = assert_problem(town.send("ana", action, wrong, ids=mine), 422, "invalid_input")
            assert list(reply["errors"]) == ["value"]


def test_a_filter_goes_into_a_pack_by_a_job_and_a_pack_that_went_is_told(
    town: Town, small_steps: None
) -> None:
    mine = town.hang("ana", 5)
    town.hang("ben", 1, is_public="true")
    pack_id = packed(town)
    batch = town.done("ana", "add_to_pack", pack_id, filter={})
    run_job(town.runtime, batch["job_id"])
    assert order(town, pack_id) == mine
    undoing = town.undo("ana", batch).get_json()
    run_job(town.runtime, undoing["job_id"])
    assert order(town, pack_id) == []
    batch = town.done("ana", "add_to_pack", pack_id, filter={})
    town.client.delete(f"/api/v1/packs/{pack_id}", headers=town.keys["ana"])
    run_job(town.runtime, batch["job_id"])
    told = town.told("ana", batch)
    assert (told["done"], told["failed_count"], told["state"]) == (0, 5, "done")
    assert {each["code"] for each in told["failed"]} == {"not_found"}
