"""Many images at once over HTTP: changed, refused one by one, done by a job, undone exactly."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from mirada.batches import batches, jobs
from mirada.db.batch_models import Batch, BatchChange
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Job, JobState, utc_now
from testing.gallery import assert_problem
from tests.batches.town import PATH, Town
from workers.runner import run_job
from workers.sweeper import Sweeper


def test_many_are_changed_and_what_is_not_yours_is_absent(town: Town) -> None:
    mine, theirs = town.hang("ana", 3), town.hang("ben", 1)
    before = town.state()
    shown = town.done("ana", "set_visibility", "public", ids=[*mine[:2], *theirs, 999])
    assert shown["done"] == 2
    assert [(each["id"], each["code"]) for each in shown["failed"]] == [
        (theirs[0], "not_found"),
        (999, "not_found"),
    ]
    details = [each["detail"].replace(str(each["id"]), "N") for each in shown["failed"]]
    assert details[0] == details[1]
    assert shown["state"] == "done"
    listed = town.get("/api/v1/images", headers={}).get_json()["results"]
    assert {each["id"] for each in listed} == set(mine[:2])
    # Done already is done, and no change that could be undone.
    tagged = town.done("ana", "add_tags", ["Cat", "cat", "sky"], ids=mine)
    again = town.done("ana", "add_tags", ["CAT"], ids=mine)
    assert (tagged["done"], again["done"]) == (3, 3)
    assert (again["undo"], again["undo_url"]) == (None, None)
    assert town.state()[mine[0]][2] == ["Cat", "sky"]
    assert (
        len(town.get("/api/v1/images?tag=cat", headers=town.keys["ana"]).get_json()["results"]) == 3
    )
    # In any order, each its own part.
    assert town.undo("ana", shown).get_json()["undone"] == 2
    assert town.undo("ana", tagged).get_json()["undone"] == 3
    after = town.state()
    assert {key: (*each[:2], each[2] or [], each[3]) for key, each in after.items()} == {
        key: (*each[:2], each[2] or [], each[3]) for key, each in before.items()
    }


def test_an_undoing_is_its_senders_and_leaves_what_was_changed_since(town: Town) -> None:
    mine = town.hang("ana", 3, tags="sky")
    batch = town.done("ana", "remove_tags", ["SKY"], ids=mine)
    for who in ("ben", "root"):
        assert_problem(town.undo(who, batch), 404, "not_found")
        assert_problem(town.get(batch["undo_url"], headers=town.keys[who]), 404, "not_found")
    assert town.get(batch["undo_url"], headers={}).status_code == 401
    path = f"/api/v1/images/{mine[0]}/tags"
    town.client.put(path, json={"tags": ["sea"]}, headers=town.keys["ana"])
    town.client.delete(f"/api/v1/images/{mine[1]}", headers=town.keys["ana"])
    body = town.undo("ana", batch).get_json()
    assert body["undone"] == 1
    assert body["state"] == "undone"
    left = {each["id"]: each["code"] for each in body["left"]}
    assert left.keys() == {mine[0], mine[1]}
    assert left[mine[0]] == "changed_since"
    assert town.state()[mine[0]][2] == ["sea"]
    assert town.state()[mine[2]][2] == ["sky"]
    # Twice is once.
    assert town.undo("ana", batch).get_json() == body


def test_tags_are_written_as_their_owner_wrote_them_first(town: Town) -> None:
    first, *mine = town.hang("ana", 3, is_public="true")
    theirs = town.hang("ben", 1, is_public="true")
    path = f"/api/v1/images/{first}/tags"
    town.client.put(path, json={"tags": ["Cat"]}, headers=town.keys["ana"])
    town.done("root", "add_tags", ["cAT", "sky"], ids=[*mine, *theirs])
    tags = {image_id: each[2] for image_id, each in town.state().items()}
    assert [tags[each] for each in mine] == [["Cat", "sky"]] * 2
    assert tags[theirs[0]] == ["cAT", "sky"]


def test_an_administrator_does_not_learn_how_tags_are_written_in_private(town: Town) -> None:
    town.hang("ana", 1, tags="SeCret")
    shown = town.hang("ana", 2, is_public="true")
    town.done("root", "add_tags", ["secret"], ids=shown[:1])
    path = f"/api/v1/images/{shown[1]}/tags"
    town.client.put(path, json={"tags": ["secret"]}, headers=town.keys["root"])
    assert [town.state()[each][2] for each in shown] == [["secret"]] * 2
    # Their own way counts for themselves.
    last = town.hang("ana", 1, tags="SECRET")
    assert town.state()[last[0]][2] == ["SeCret"]


def test_an_administrator_hides_many_and_their_owner_cannot_show_them(town: Town) -> None:
    mine = town.hang("ana", 2, is_public="true")
    batch = town.done("root", "set_visibility", "private", ids=mine)
    assert {each[:2] for each in town.state().values()} == {(False, True)}
    refused = town.done("ana", "set_visibility", "public", ids=mine)
    assert [each["code"] for each in refused["failed"]] == ["not_allowed"] * 2
    assert town.undo("root", batch).get_json()["undone"] == 2
    assert {each[:2] for each in town.state().values()} == {(True, False)}


def test_the_reason_of_hiding_goes_with_it_and_comes_back(town: Town) -> None:
    (image,) = town.hang("ana", 1, is_public="true")
    path = f"/api/v1/images/{image}"
    body = {"is_public": False, "reason": "It shows an address."}
    assert town.client.patch(path, json=body, headers=town.keys["root"]).status_code == 200
    batch = town.done("root", "set_visibility", "public", ids=[image])
    assert town.get(path, headers=town.keys["ana"]).get_json()["hidden_reason"] is None
    assert town.undo("root", batch).get_json()["undone"] == 1
    told = town.get(path, headers=town.keys["ana"]).get_json()
    assert told["hidden_reason"] == "It shows an address."


def test_a_filter_of_many_is_a_job_that_goes_on_where_it_was(town: Town, small_steps: None) -> None:
    mine = town.hang("ana", 7, tags="old")
    town.hang("ben", 1, tags="old", is_public="true")
    before = town.state()
    batch = town.done(
        "ana", "set_visibility", "public", filter={"tag": ["OLD"], "visibility": "private"}
    )
    assert batch["state"] == "running"
    # Came later: not of this batch.
    late = town.hang("ana", 1, tags="old")
    calls = 0
    step = jobs._change_some

    def dies(*args: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_change_some", dies)
        with pytest.raises(KeyboardInterrupt):
            run_job(town.runtime, batch["job_id"])
    assert town.told("ana", batch)["done"] == 4
    job = town.get(batch["job_url"], headers=town.keys["ana"]).get_json()
    assert (job["done"], job["total"]) == (4, 7)
    with town.runtime.transaction() as session:
        session.get_one(Job, batch["job_id"]).lease_until_ms = 0
    assert run_job(town.runtime, batch["job_id"])
    told = town.told("ana", batch)
    assert (told["done"], told["state"], told["failed_count"]) == (7, "done", 0)
    assert {town.state()[each][0] for each in mine} == {True}
    assert town.state()[late[0]][0] is False
    undoing = town.undo("ana", batch)
    assert undoing.status_code == 202
    assert undoing.get_json()["state"] == "undoing"
    run_job(town.runtime, undoing.get_json()["job_id"])
    assert town.told("ana", batch)["state"] == "undone"
    assert town.told("ana", batch)["undone"] == 7
    assert {key: each for key, each in town.state().items() if key != late[0]} == before


@pytest.mark.parametrize("is_undone", [False, True], ids=["doing", "undoing"])
def test_a_job_of_who_was_ended_shows_nothing_and_leaves_nothing(
    town: Town, small_steps: None, is_undone: bool
) -> None:
    mine = town.hang("ana", 5, tags="a secret word", is_public=str(is_undone).lower())
    value = "private" if is_undone else "public"
    batch = town.done("ana", "set_visibility", value, filter={"tag": ["a secret word"]})
    job_id = batch["job_id"]
    if is_undone:
        run_job(town.runtime, job_id)
        job_id = town.undo("ana", batch).get_json()["job_id"]
    before = town.state()
    assert not any(before[each][0] for each in mine)
    users = {who: town.get("/api/v1/users/me", headers=town.keys[who]) for who in ("ana", "ben")}
    ana, ben = (users[who].get_json() for who in ("ana", "ben"))
    heir = f"?images=hand_over&heir_id={ben['id']}"
    ending = town.client.delete(f"{ana['url']}{heir}", headers=town.keys["root"])
    run_job(town.runtime, job_id)
    assert town.state() == before
    # Its conditions, and the tags that were there, are words of hers.
    run_job(town.runtime, ending.get_json()["id"])
    with town.runtime.reading() as session:
        assert session.execute(select(Batch.id)).all() == []
        assert session.execute(select(BatchChange.image_id)).all() == []


def test_half_of_a_job_is_undone_exactly(town: Town, small_steps: None) -> None:
    town.hang("ana", 6)
    before = town.state()
    batch = town.done("ana", "add_tags", ["new"], filter={})
    whole = jobs._in_steps

    def undone_after_one(runtime: Any, attempt: Any, step: Any) -> None:
        in_transaction(runtime.database, lambda session: step(attempt, session))
        assert town.undo("ana", batch).get_json()["undone"] == 2
        whole(runtime, attempt, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_in_steps", undone_after_one)
        run_job(town.runtime, batch["job_id"])
    assert {key: (*each[:2], each[2] or [], each[3]) for key, each in town.state().items()} == {
        key: (*each[:2], each[2] or [], each[3]) for key, each in before.items()
    }
    told = town.told("ana", batch)
    assert (told["state"], told["undone"]) == ("undone", 2)
    with town.runtime.reading() as session:
        assert session.get_one(Job, batch["job_id"]).state == JobState.DONE


def test_a_cancelled_job_keeps_what_it_did_and_can_be_undone(town: Town, small_steps: None) -> None:
    town.hang("ana", 5)
    batch = town.done("ana", "add_tags", ["new"], filter={})
    path = f"/api/v1/jobs/{batch['job_id']}/cancel"
    assert town.client.post(path, headers=town.keys["ana"]).status_code == 200
    assert not run_job(town.runtime, batch["job_id"])
    assert town.undo("ana", batch).get_json()["state"] == "undone"


def test_a_tag_is_renamed_and_joined_and_both_come_back(town: Town) -> None:
    both = town.hang("ana", 1, tags="Kat, sky, cat")
    one = town.hang("ana", 2, tags="kat")
    none = town.hang("ana", 1, tags="sea")
    theirs = town.hang("ben", 1, tags="kat", is_public="true")
    before = town.state()
    batch = town.done("ana", "rename_tag", ["KAT", "Cat"], filter={"tag": ["kat"]})
    assert (batch["done"], batch["failed_count"]) == (3, 0)
    after = town.state()
    assert [after[each][2] for each in (*both, *one)] == [["Cat", "sky"], ["Cat"], ["Cat"]]
    assert {each: after[each] for each in (*none, *theirs)} == {
        each: before[each] for each in (*none, *theirs)
    }
    assert town.undo("ana", batch).get_json()["undone"] == 3
    assert {key: each[2] for key, each in town.state().items()} == {
        key: each[2] for key, each in before.items()
    }


def test_what_makes_no_sense_is_refused(town: Town) -> None:
    (image,) = town.hang("ana", 1)
    for body, field in (
        ({"ids": [image], "action": "set_visibility"}, "value"),
        ({"ids": [image], "action": "set_visibility", "value": "secret"}, "value"),
        ({"ids": [image], "action": "add_tags", "value": []}, "value"),
        ({"ids": [image], "action": "add_tags", "value": "cat"}, "value"),
        ({"ids": [image], "action": "rename_tag", "value": ["one"]}, "value"),
        ({"ids": [image], "action": "rename_tag", "value": ["a", "\u0000"]}, "value"),
        ({"ids": [image], "action": "paint", "value": "red"}, "action"),
        ({"ids": [], "action": "add_tags", "value": ["a"]}, "ids"),
        ({"ids": list(range(1, 502)), "action": "add_tags", "value": ["a"]}, "ids"),
        ({"action": "add_tags", "value": ["a"]}, "ids"),
        ({"ids": [image], "filter": {}, "action": "add_tags", "value": ["a"]}, "ids"),
        ({"filter": {"odd": 1}, "action": "add_tags", "value": ["a"]}, "filter"),
    ):
        reply = town.client.post(PATH, json=body, headers=town.keys["ana"])
        assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == [field], body
    assert town.client.post(PATH, json={}, headers={}).status_code in (401, 422)


def test_a_tag_too_many_fails_alone(town: Town) -> None:
    full = town.hang("ana", 1, tags=",".join(f"t{number}" for number in range(100)))
    other = town.hang("ana", 1)
    batch = town.done("ana", "add_tags", ["one more"], ids=[*full, *other])
    assert batch["done"] == 1
    assert [(each["id"], each["code"]) for each in batch["failed"]] == [(full[0], "invalid_input")]


def test_what_can_no_longer_be_undone_is_forgotten(town: Town) -> None:
    batch = town.done("ana", "add_tags", ["new"], ids=town.hang("ana", 1))
    with town.runtime.transaction() as session:
        row = session.execute(select(Batch)).scalar_one()
        row.created_at = utc_now() - 2 * batches.KEPT_FOR
    Sweeper(town.runtime).sweep(is_first=True)
    assert_problem(town.undo("ana", batch), 404, "not_found")
