"""The effect of a verdict over HTTP: foreseen, given and undone, and of nothing that is somebody else's."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import event, func, select

from mirada.classify import verdict_effect
from mirada.classify.labelling import queue_lacking
from mirada.db.classifier_models import Feedback
from mirada.jobs import sweep
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

FEEDBACK = "/api/v1/feedback"


def hash_of(seed: int) -> str:
    return hashlib.sha256(picture(seed)).hexdigest()


class House:
    """Ana and Bea with keys, and an encoder whose pictures lie where they are told."""

    def __init__(self, runtime: Runtime, encoder: CountingEncoder) -> None:
        self.runtime, self.encoder = runtime, encoder
        self.client = create_app(runtime).test_client()
        self.keys: dict[str, dict[str, str]] = {}
        for name in ("ana", "bea", "root"):
            with runtime.transaction() as session:
                user = users.create_user(session, name, is_administrator=name == "root")
                self.keys[name] = {"Authorization": f"Bearer {issue_key(session, user).key}"}
        self.upload("root", 999)
        if runtime.settings.embeddings_enabled:
            assert queue_lacking(runtime) is not None
            self.work()

    def upload(self, who: str, seed: int, *shown: str, works: bool = True, **fields: Any) -> int:
        if shown:
            self.encoder.show(*shown)
        data = {"file": as_upload(picture(seed)), **fields}
        response = self.client.post("/api/v1/images", data=data, headers=self.keys[who])
        if works:
            self.work()
        return int(response.get_json()["id"])

    def work(self) -> None:
        with self.runtime.reading() as session:
            due = sweep.due_jobs(session)
        for job in due:
            run_job(self.runtime, job.id)
        self.runtime.index(self.runtime.space()[0]).refresh()

    def say(
        self, who: str, seed: int, theme: str, accepted: bool, query: str = ""
    ) -> dict[str, Any]:
        body = {"image_hash": hash_of(seed), "theme": theme, "accepted": accepted}
        response = self.client.post(FEEDBACK + query, json=body, headers=self.keys[who])
        assert response.status_code in (200, 201), response.get_json()
        told: dict[str, Any] = response.get_json()
        return told

    def undo(self, who: str, url: str, query: str = "?effect=true") -> Any:
        return self.client.delete(url + query, headers=self.keys[who])

    def score(self, who: str, image_id: int, label: str) -> float:
        answer = self.client.get(f"/api/v1/images/{image_id}/labels", headers=self.keys[who])
        found = {each["label"]: each["score"] for each in answer.get_json()["top_labels"]}
        return float(found[label])

    def verdicts(self) -> int:
        with self.runtime.reading() as session:
            return session.execute(select(func.count(Feedback.id))).scalar_one()


@pytest.fixture
def house(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> House:
    """On either database."""
    encoder = CountingEncoder(logit_scale=100.0)
    runtime = make_runtime(auth_mode="keys", clip_top_k=40, **site_settings)
    return House(with_encoder(runtime, encoder), encoder)


@pytest.fixture
def one(make_runtime: MakeRuntime) -> House:
    """On SQLite, where the database makes no difference."""
    encoder = CountingEncoder(logit_scale=100.0)
    return House(with_encoder(make_runtime(auth_mode="keys"), encoder), encoder)


def test_what_is_foreseen_is_what_comes_and_undoing_takes_it_back(house: House) -> None:
    first = house.upload("ana", 1, "cat", "dog")
    other = house.upload("ana", 2, "cat", "dog")
    before = house.score("ana", other, "bird")

    foreseen = house.say("ana", 1, "bird", True, "?dry_run=true")
    assert house.verdicts() == 0
    assert {foreseen[name] for name in ("id", "url", "created_at", "updated_at")} == {None}
    assert (foreseen["outcome"], foreseen["theme"], foreseen["accepted"]) == (
        "created",
        "bird",
        True,
    )

    given = house.say("ana", 1, "bird", True)
    effect = given["effect"]
    assert effect == foreseen["effect"]
    assert effect["affinity_before"] == 0.5 < effect["affinity_after"]
    assert effect["score_after"] == pytest.approx(house.score("ana", first, "bird"), abs=1e-4)
    assert effect["looked_at"] == 1
    assert effect["moved"] == 1
    (example,) = effect["examples"]
    assert example["image"]["id"] == other
    assert example["score_before"] == pytest.approx(before, abs=1e-4)
    assert example["score_after"] == pytest.approx(house.score("ana", other, "bird"), abs=1e-4)
    assert example["score_after"] > example["score_before"] + 0.02

    again = house.say("ana", 1, "bird", True, "?dry_run=true")
    assert (again["outcome"], again["id"], again["effect"]["moved"]) == (
        "unchanged",
        given["id"],
        0,
    )

    dry = house.undo("ana", given["url"], "?dry_run=true")
    assert (dry.status_code, house.verdicts()) == (200, 1)
    undone = house.undo("ana", given["url"])
    assert (undone.status_code, house.verdicts()) == (200, 0)
    back = undone.get_json()["effect"]
    assert back == dry.get_json()["effect"]
    for old, new in (("before", "after"), ("after", "before")):
        assert back[f"affinity_{old}"] == effect[f"affinity_{new}"]
        assert back[f"score_{old}"] == effect[f"score_{new}"]
    assert house.score("ana", other, "bird") == before
    assert house.undo("ana", given["url"], "?dry_run=true").status_code == 404


def test_a_label_applies_from_its_threshold_on(house: House) -> None:
    address = "/api/v1/labels/bird"
    house.client.put(address, json={"threshold": 0.05}, headers=house.keys["root"])
    house.upload("ana", 1, "cat", "dog")
    house.upload("ana", 2, "cat", "dog")
    accepted = house.say("ana", 1, "bird", True)["effect"]
    assert (accepted["would_now_apply"], accepted["would_no_longer_apply"]) == (1, 0)
    rejected = house.say("ana", 1, "bird", False)
    assert rejected["outcome"] == "replaced"
    assert rejected["effect"]["would_now_apply"] == 0
    assert rejected["effect"]["would_no_longer_apply"] == 1


def test_a_label_without_a_threshold_applies_where_it_is_the_first(
    make_runtime: MakeRuntime,
) -> None:
    encoder = CountingEncoder(logit_scale=1.0)
    house = House(with_encoder(make_runtime(auth_mode="keys"), encoder), encoder)
    house.upload("ana", 1, "a lighthouse")
    other = house.upload("ana", 2, "a lighthouse")
    address = f"/api/v1/images/{other}/labels"

    def category() -> str:
        told = house.client.get(address, headers=house.keys["ana"]).get_json()
        assert told["none_of_these"] is False
        return str(told["category"])

    assert category() != "bird"
    given = house.say("ana", 1, "bird", True)
    assert given["effect"]["would_now_apply"] == 1
    assert category() == "bird"
    undone = house.undo("ana", given["url"]).get_json()["effect"]
    assert (undone["would_now_apply"], undone["would_no_longer_apply"]) == (0, 1)
    assert category() != "bird"


def test_a_theme_that_is_no_label_is_told_by_affinities(one: House) -> None:
    one.upload("ana", 1, "cat")
    one.upload("ana", 2, "cat")
    one.upload("ana", 3, "a lighthouse")
    effect = one.say("ana", 1, "my pets", True)["effect"]
    assert (effect["affinity_before"], effect["score_before"]) == (0.5, 0.5)
    assert effect["affinity_after"] == effect["score_after"] > 0.6
    assert (effect["would_now_apply"], effect["would_no_longer_apply"]) == (None, None)
    assert effect["looked_at"] == 2
    assert effect["examples"][0]["image"]["id"] == 3
    assert all(each["score_after"] > 0.5 for each in effect["examples"])


def test_nothing_of_others_private_pictures_is_looked_at_or_counted(house: House) -> None:
    house.upload("ana", 1, "cat", "dog", is_public=True)
    alone = house.say("ana", 1, "cat", False, "?dry_run=true")["effect"]
    house.upload("bea", 2, "cat", "dog")
    house.upload("bea", 1)
    assert house.say("ana", 1, "cat", False, "?dry_run=true")["effect"] == alone
    hers = house.say("bea", 1, "cat", False, "?dry_run=true")["effect"]
    assert hers["looked_at"] == alone["looked_at"] + 1
    problem = {"image_hash": hash_of(2), "theme": "cat", "accepted": True}
    response = house.client.post(
        f"{FEEDBACK}?dry_run=true", json=problem, headers=house.keys["ana"]
    )
    assert_problem(response, 404, "not_found")


def test_a_verdict_stands_where_its_effect_cannot_be_told(
    one: House, make_runtime: MakeRuntime
) -> None:
    waiting = one.upload("ana", 1, works=False)
    assert one.say("ana", 1, "cat", True)["effect"] is None
    assert (waiting > 0, one.verdicts()) == (True, 1)
    for off in ({"enable_adaptive_scoring": False}, {"embeddings_enabled": False}):
        encoder = CountingEncoder()
        house = House(with_encoder(make_runtime(auth_mode="keys", **off), encoder), encoder)
        house.upload("ana", 1)
        assert house.say("ana", 1, "cat", True)["effect"] is None
        assert house.verdicts() == 1


def test_an_administrator_who_undoes_another_s_verdict_is_told_no_effect(one: House) -> None:
    one.upload("ana", 1, "cat", "dog")
    given = one.say("ana", 1, "cat", True)
    assert one.undo("bea", given["url"]).status_code == 404
    assert one.undo("root", given["url"], "?dry_run=true").status_code == 404
    undone = one.undo("root", given["url"])
    assert (undone.status_code, undone.get_json()) == (200, {"effect": None})
    given = one.say("ana", 1, "cat", True)
    assert one.undo("ana", given["url"], "").status_code == 204


def test_where_labels_have_many_verdicts_fewer_pictures_are_looked_at(
    one: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1, 5):
        one.upload("ana", seed, "cat", "dog")
    monkeypatch.setattr(verdict_effect, "MOST_LOOKED_AT", 3)
    monkeypatch.setattr(verdict_effect, "FEWEST_LOOKED_AT", 1)
    assert one.say("ana", 1, "cat", True)["effect"]["looked_at"] == 3
    monkeypatch.setattr(verdict_effect, "MOST_COMPARED", 2)
    assert one.say("ana", 2, "cat", True)["effect"]["looked_at"] == 1


def test_a_dry_run_writes_nothing(house: House) -> None:
    house.upload("ana", 1, "cat", "dog")
    written: list[str] = []

    def look(_c: Any, _k: Any, statement: str, *_more: Any) -> None:
        if statement.split()[0].upper() in {"INSERT", "UPDATE", "DELETE"}:
            written.append(statement)

    engine = house.runtime.database.engine
    event.listen(engine, "before_cursor_execute", look)
    try:
        house.say("ana", 1, "cat", True, "?dry_run=true")
    finally:
        event.remove(engine, "before_cursor_execute", look)
    assert [each for each in written if "api_key" not in each] == []
