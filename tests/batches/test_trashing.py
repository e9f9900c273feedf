"""Many images put into the trash at once, taken back, and both undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Image, utc_now
from mirada.db.webhook_models import WebhookDelivery
from mirada.pictures import trash
from mirada.webhooks import hooks
from testing.gallery import assert_problem
from tests.batches.town import Town
from workers.runner import run_job


def listed(town: Town, who: str, query: str = "") -> set[int]:
    reply = town.get(f"/api/v1/images?{query}", headers=town.keys[who])
    return {each["id"] for each in reply.get_json()["results"]}


def test_many_are_deleted_and_exactly_those_come_back(town: Town) -> None:
    mine, theirs = town.hang("ana", 3, tags="sky"), town.hang("ben", 1, is_public="true")
    early, *rest = mine
    town.client.delete(f"/api/v1/images/{early}", headers=town.keys["ana"])
    before = town.state()
    batch = town.done("ana", "delete", ids=[*mine, *theirs, 999])
    assert batch["done"] == 2
    # In the trash already is not there, as others' are not.
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [
        (early, "not_found"),
        (theirs[0], "not_found"),
        (999, "not_found"),
    ]
    assert listed(town, "ana", "mine=true") == set()
    assert listed(town, "ana", "trash=true") == set(mine)
    body = town.undo("ana", batch).get_json()
    assert (body["undone"], body["left"]) == (2, [])
    assert town.state() == before
    assert listed(town, "ana", "mine=true") == set(rest)


def test_what_left_the_trash_since_stays_as_it_is(town: Town) -> None:
    back, erased, emptied, kept = mine = town.hang("ana", 4)
    batch = town.done("ana", "delete", ids=mine)
    town.client.post(f"/api/v1/images/{back}/restore", headers=town.keys["ana"])
    town.client.delete(f"/api/v1/images/{erased}?now=true", headers=town.keys["ana"])
    with town.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == emptied).values(trashed_at=trash.EMPTIED))
    body = town.undo("ana", batch).get_json()
    assert {each["id"]: each["code"] for each in body["left"]} == {
        back: "changed_since",
        erased: "not_found",
        emptied: "not_found",
    }
    assert listed(town, "ana", "mine=true") == {back, kept}


def test_many_are_restored_and_go_back_with_all_of_their_days(town: Town) -> None:
    mine, theirs = town.hang("ana", 2), town.hang("ben", 1)
    town.done("ben", "delete", ids=theirs)
    town.done("ana", "delete", ids=mine)
    then = utc_now().replace(microsecond=0) - timedelta(days=29)
    with town.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id.in_(mine)).values(trashed_at=then))
    batch = town.done("ana", "restore", ids=[*mine, *theirs])
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(theirs[0], "not_found")]
    assert listed(town, "ana", "mine=true") == set(mine)
    assert town.undo("ana", batch).get_json()["undone"] == 2
    assert listed(town, "ana", "trash=true") == set(mine)
    assert all(town.state()[each][3] > then + timedelta(days=28) for each in mine)


def test_a_filter_of_the_trash_restores_by_a_job(town: Town, small_steps: None) -> None:
    old, new = town.hang("ana", 4, tags="old"), town.hang("ana", 1, tags="new")
    town.hang("ben", 1, tags="old", is_public="true")
    batch = town.done("ana", "delete", filter={"tag": ["old"]})
    run_job(town.runtime, batch["job_id"])
    told = town.told("ana", batch)
    assert (told["done"], told["state"], told["failed_count"]) == (4, "done", 0)
    assert listed(town, "ana", "mine=true") == set(new)
    batch = town.done("ana", "restore", filter={"tag": ["old"]})
    run_job(town.runtime, batch["job_id"])
    assert town.told("ana", batch)["done"] == 4
    assert listed(town, "ana", "mine=true") == {*old, *new}
    undoing = town.undo("ana", batch).get_json()
    run_job(town.runtime, undoing["job_id"])
    assert town.told("ana", batch)["undone"] == 4
    assert listed(town, "ana", "trash=true") == set(old)


def test_an_administrator_hides_what_they_delete_and_emojis_stay_as_they_may_be(
    town: Town,
) -> None:
    (image,) = town.hang("ana", 1, is_public="true")
    ana = town.keys["ana"]
    pack = town.client.post("/api/v1/packs", json={"title": "A", "is_public": True}, headers=ana)
    url = f"/api/v1/packs/{pack.get_json()['id']}"
    body = {"image_ids": [image], "emojis": {str(image): ["🔭"]}}
    assert town.client.post(f"{url}/images", json=body, headers=ana).status_code == 200
    before = town.state()
    batch = town.done("root", "delete", ids=[image])
    assert town.state()[image][:2] == (False, True)
    # By now the emoji is nobody else's to know.
    town.client.patch(url, json={"is_public": False}, headers=ana)
    assert town.undo("root", batch).get_json()["undone"] == 1
    assert town.state() == before
    assert town.words(image) == set()


def test_without_a_trash_many_are_not_deleted(make_runtime: Callable[..., Any]) -> None:
    town = Town(make_runtime(auth_mode="keys", trash_days=0))
    mine = town.hang("ana", 1)
    for which in ({"ids": mine}, {"filter": {}}):
        problem = assert_problem(town.send("ana", "delete", **which), 409, "conflict")
        assert "TRASH_DAYS=0" in problem["detail"]
    assert listed(town, "ana") == set(mine)


def test_what_was_restored_is_not_undone_where_the_trash_is_gone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = town.hang("ana", 2)
    town.done("ana", "delete", ids=mine)
    batch = town.done("ana", "restore", ids=mine)
    before = town.state()
    with monkeypatch.context() as without:
        without.setitem(town.runtime.settings.__dict__, "trash_days", 0)
        problem = assert_problem(town.undo("ana", batch), 409, "conflict")
        assert "TRASH_DAYS=0" in problem["detail"]
        assert town.state() == before
        assert town.told("ana", batch)["state"] == "done"
    assert town.undo("ana", batch).get_json()["undone"] == 2


def test_webhooks_are_told_once_that_an_image_is_deleted(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = town.hang("ana", 3), town.hang("ben", 1)
    with town.runtime.transaction() as session:
        ana = session.get_one(Image, mine[0]).owner_id
        hooks.make_webhook(
            session, ana, address="https://hooks.example/a", events=["image.deleted"]
        )
    batch = town.done("ana", "delete", ids=mine[:2])
    town.done("ben", "delete", ids=theirs)
    town.client.delete(f"/api/v1/images/{mine[2]}", headers=town.keys["ana"])
    town.client.delete(f"/api/v1/images/{mine[2]}?now=true", headers=town.keys["ana"])
    assert told(town) == sorted(mine)
    # Taken back and deleted again is another time.
    town.undo("ana", batch)
    town.client.delete(f"/api/v1/images/{mine[0]}?now=true", headers=town.keys["ana"])
    assert told(town) == sorted([*mine, mine[0]])


def told(town: Town) -> list[int]:
    with town.runtime.reading() as session:
        query = select(WebhookDelivery.subject_id).where(WebhookDelivery.event == "image.deleted")
        return sorted(session.execute(query).scalars())
