"""The end of a user: keys at once, then the images, deleted or handed over, and all marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from mirada.db import recall_rows
from mirada.db.classifier_models import ClassifiedPicture, Feedback
from mirada.db.evaluation_models import EvaluationSet
from mirada.db.memory_models import Comment, Like
from mirada.db.models import ApiKey, IdempotencyKey, Image, Job, JobState, User, utc_now
from mirada.db.paging_models import KeptRanking
from mirada.db.recall_models import RecallSample
from mirada.departures.ending import end_user
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.live_recall import Sample
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.people import keys, roles, users
from mirada.people.product import person_of_product
from mirada.runtime import Runtime
from mirada.search.kept import NewRanking, caller_named, keep
from testing.application import create_app
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture
from testing.scopes import seen_by
from testing.tokens import SECRET, bearing, token
from workers.runner import run_job

Headers = dict[str, str]


class Town(Gallery):
    """A gallery behind keys, and everybody's key in it."""

    def citizen(self, name: str, *, is_administrator: bool = False) -> Headers:
        with self.runtime.transaction() as session:
            user = users.create_user(session, name, is_administrator=is_administrator)
            return bearing(str(keys.issue(session, user).key))

    def id_of(self, headers: Headers) -> int:
        return int(self.get("/api/v1/users/me", headers).get_json()["id"])

    def end(self, user_id: int, boss: Headers, query: str = "images=delete") -> Any:
        return self.client.delete(f"/api/v1/users/{user_id}?{query}", headers=boss)

    def found_by(self, headers: Headers) -> list[int]:
        reply = self.client.post("/api/v1/search", json={"vector": on_arc(0)}, headers=headers)
        return sorted(each["image"]["id"] for each in reply.get_json()["results"])

    def left_of(self, user_id: int) -> dict[str, int]:
        columns = {
            "images": Image.owner_id,
            "likes": Like.user_id,
            "comments": Comment.user_id,
            "verdicts": Feedback.user_id,
            "classified": ClassifiedPicture.owner_id,
            "requests": IdempotencyKey.owner_id,
            "sampled searches": RecallSample.viewer_id,
            "evaluation sets": EvaluationSet.owner_id,
        }
        with self.runtime.reading() as session:
            return {
                name: session.execute(
                    select(func.count()).select_from(column.class_).where(column == user_id)
                ).scalar_one()
                for name, column in columns.items()
            }


@pytest.fixture
def town(make_runtime: Callable[..., Runtime], site_settings: dict[str, Any]) -> Town:
    runtime = make_runtime(auth_mode="keys", jwt_secret=SECRET, **site_settings)
    return Town(runtime, create_app(runtime).test_client())


@pytest.fixture
def boss(town: Town) -> Headers:
    return town.citizen("boss", is_administrator=True)


def lived(town: Town, ana: Headers, ben: Headers) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let ana leave one of everything behind; return a public and a private image of hers."""
    public = town.upload(seed=1, headers=ana, is_public="true", degrees=0)
    private = town.upload(seed=2, headers=ana, degrees=1)
    bens = town.upload(seed=3, headers=ben, is_public="true", degrees=2)
    for who in (ana, ben):
        town.client.put(f"{bens['url']}/like", headers=who)
        town.client.post(f"{bens['url']}/comments", json={"text": "hm"}, headers=who)
    with town.runtime.reading() as session:
        content = session.get_one(Image, bens["id"]).content
        sha256 = content.sha256
    verdict = {"image_hash": sha256, "theme": "pets", "accepted": True}
    assert town.client.post("/api/v1/feedback", json=verdict, headers=ana).status_code < 300
    kept = town.client.post("/api/v1/evaluations", json={"name": "pets"}, headers=ana).get_json()
    judged = {"text": "a cat", "good": [private["id"]]}
    asked = town.client.post(kept["queries_url"], json=judged, headers=ana)
    assert asked.status_code == 201, asked.get_json()
    once = ana | {"Idempotency-Key": "k"}
    again = {"file": as_upload(picture(1)), "is_public": "true"}
    assert town.client.post("/api/v1/images", data=again, headers=once).status_code == 201
    with town.runtime.transaction() as session:
        owner_id = session.execute(select(User.id).where(User.username == "ana")).scalar_one()
        session.add(ClassifiedPicture(owner_id=owner_id, content_id=content.id, sent_bytes=True))
        assert recall_rows.keep(session, town.space_id, [sampled_search(owner_id)]) == 1
    return public, private


def sampled_search(viewer_id: int) -> Sample:
    return Sample(
        vector=np.zeros(2, np.float32),
        scope=seen_by(viewer_id),
        form=QueryForm.PICTURE,
        way=SearchWay.HNSW,
        factor=1,
        k=1,
        ids=(1,),
        similarities=(0.5,),
        permitted_count=1,
        change_seq=1,
        snapshot="s1",
    )


@pytest.mark.parametrize("heir", [None, "cleo"])
def test_everything_of_a_user_ends(town: Town, boss: Headers, heir: str | None) -> None:
    ana, ben, cleo = town.citizen("ana"), town.citizen("ben"), town.citizen("cleo")
    public, private = lived(town, ana, ben)
    # What is in the trash is erased in either case.
    trashed = town.upload(headers=ana)["url"]
    assert town.client.delete(trashed, headers=ana).status_code == 204
    ana_id, cleo_id = town.id_of(ana), town.id_of(cleo)
    assert all(town.left_of(ana_id).values()), town.left_of(ana_id)

    query = "images=delete" if heir is None else f"images=hand_over&heir_id={cleo_id}"
    reply = town.end(ana_id, boss, query)
    assert (reply.status_code, reply.get_json()["kind"]) == (202, "end_user_task")
    assert reply.headers["Location"] == reply.get_json()["url"]
    assert (
        "was revoked"
        in assert_problem(town.get("/api/v1/users/me", ana), 401, "not_authenticated")["detail"]
    )
    assert town.get(f"/api/v1/users/{ana_id}", boss).status_code == 404
    listed = town.get("/api/v1/users", boss).get_json()["results"]
    assert ana_id not in [each["id"] for each in listed]

    run_job(town.runtime, reply.get_json()["id"])
    job = town.get(reply.get_json()["url"], boss).get_json()
    assert (job["state"], job["last_error"]) == (str(JobState.DONE), None)
    assert set(town.left_of(ana_id).values()) == {0}
    town.runtime.index(town.space_id).refresh()
    bens = town.get("/api/v1/images?mine=true", ben).get_json()["results"][0]
    assert (bens["like_count"], bens["comment_count"]) == (1, 1)
    # Whoever comes next may have the name, and none of what was under it.
    again = town.citizen("ana")
    assert town.id_of(again) != ana_id
    assert town.get("/api/v1/images?mine=true", again).get_json()["results"] == []
    if heir is None:
        for image in (public, private):
            assert town.get(image["url"], boss).status_code == 404
        assert town.found_by(cleo) == [bens["id"]]
        files = [path for path in town.runtime.settings.image_dir.rglob("*") if path.is_file()]
        assert len(files) == 1
    else:
        assert town.get(private["url"], ben).status_code == 404
        handed = town.get(private["url"], cleo).get_json()
        assert (handed["owner"]["username"], handed["is_public"]) == ("cleo", False)
        assert town.get(private["file_url"], cleo).get_data() == picture(2)
        assert {public["id"], private["id"]} <= set(town.found_by(cleo))
        assert private["id"] not in town.found_by(ben)
        assert public["id"] in town.found_by(ben)


def test_rankings_that_were_paged_through_end_at_once(town: Town, boss: Headers) -> None:
    ben = town.citizen("ben")
    for seed in range(3):
        town.upload(seed=seed, headers=ben, is_public="true", degrees=seed)
    town.runtime.index(town.space_id).refresh()
    ana, person = town.citizen("ana"), bearing(token("ana"))
    asked = {"vector": on_arc(0), "limit": 1}
    for who in (ana, person, ben):
        first = town.client.post("/api/v1/search", json=asked, headers=who).get_json()
        assert town.get(first["next"], who).status_code == 200
    with town.runtime.transaction() as session:
        # What a request that began before the end keeps after it.
        late = NewRanking("f" * 24, caller_named(town.id_of(ana), None), b"late")
        assert len(session.execute(select(KeptRanking.id)).all()) == 3

    jobs = [town.end(town.id_of(who), boss).get_json() for who in (ana, person)]

    with town.runtime.transaction() as session:
        (left,) = session.execute(select(KeptRanking.caller)).scalars()
        keep(session, late, is_stranger=False)
    run_job(town.runtime, jobs[0]["id"])
    with town.runtime.reading() as session:
        assert session.execute(select(KeptRanking.caller)).scalars().all() == [left]


def test_the_job_may_run_twice_and_be_cut_short(town: Town, boss: Headers) -> None:
    ana, ben = town.citizen("ana"), town.citizen("ben")
    lived(town, ana, ben)
    ana_id = town.id_of(ana)
    with town.runtime.transaction() as session:
        job = end_user(session, ana_id, heir_id=None)
    run_job(town.runtime, job.id)
    with town.runtime.transaction() as session:
        session.add(
            Image(
                owner_id=ana_id,
                content_id=session.execute(select(Image.content_id).limit(1)).scalar_one(),
                is_public=True,
            )
        )
    with town.runtime.transaction() as session:
        session.get_one(Job, job.id).state = JobState.QUEUED
    run_job(town.runtime, job.id)
    assert set(town.left_of(ana_id).values()) == {0}


def test_an_heir_who_is_ended_meanwhile_gets_nothing(town: Town, boss: Headers) -> None:
    ana, cleo = town.citizen("ana"), town.citizen("cleo")
    image = town.upload(headers=ana)
    ana_id, cleo_id = town.id_of(ana), town.id_of(cleo)
    job = town.end(ana_id, boss, f"images=hand_over&heir_id={cleo_id}").get_json()
    town.end(cleo_id, boss)
    run_job(town.runtime, job["id"])
    told = town.get(job["url"], boss).get_json()
    assert told["state"] == "failed"
    assert "was ended as well" in told["last_error"]
    with town.runtime.reading() as session:
        assert session.get_one(Image, image["id"]).owner_id == ana_id


def test_a_person_of_the_product_stays_refused(town: Town, boss: Headers) -> None:
    ana = bearing(token("ana"))
    image = town.upload(headers=ana, is_public="true")
    job = town.end(town.id_of(ana), boss).get_json()
    for path in ("/api/v1/users/me", "/api/v1/images"):
        assert_problem(town.get(path, ana), 403, "not_allowed")
    upload = {"file": as_upload(picture(1))}
    assert town.client.post("/api/v1/images", data=upload, headers=ana).status_code == 403
    run_job(town.runtime, job["id"])
    assert town.get(image["url"], boss).status_code == 404
    assert town.get("/api/v1/users/me", ana).status_code == 403
    assert town.get("/api/v1/users/me", bearing(token("ben"))).status_code == 200


def test_what_began_before_the_end_brings_nothing_after_it(town: Town, boss: Headers) -> None:
    ana = town.citizen("ana")
    ana_id = town.id_of(ana)
    with town.runtime.transaction() as session:
        session.get_one(User, ana_id).ended_at = utc_now()
    # The key was checked before; only the end came between.
    reply = town.client.post("/api/v1/images", data={"file": as_upload(picture(1))}, headers=ana)
    assert_problem(reply, 403, "not_allowed")
    files = [path for path in town.runtime.settings.image_dir.rglob("*") if path.is_file()]
    assert files == []
    assert town.left_of(ana_id)["images"] == 0
    with town.runtime.transaction() as session:
        assert recall_rows.keep(session, town.space_id, [sampled_search(ana_id)]) == 0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "images=keep",
        "images=hand_over",
        "images=delete&heir_id=1",
        "images=hand_over&heir_id=x",
        "images=hand_over&heir_id=0",
        "images=hand_over&heir_id=99",
        "images=hand_over&heir_id={ana}",
        f"images=hand_over&heir_id={10**30}",
        "images=delete&odd=1",
    ],
)
def test_what_makes_no_sense_ends_nobody(town: Town, boss: Headers, query: str) -> None:
    ana = town.citizen("ana")
    reply = town.end(town.id_of(ana), boss, query.replace("{ana}", str(town.id_of(ana))))
    assert_problem(reply, 422, "invalid_input")
    assert town.get("/api/v1/users/me", ana).status_code == 200


def test_who_has_no_end(town: Town, boss: Headers) -> None:
    boss_id = town.id_of(boss)
    with town.runtime.transaction() as session:
        local_id = users.local_user(session).id
    assert_problem(town.end(boss_id, boss), 409, "conflict")
    assert_problem(town.end(local_id, boss), 409, "conflict")
    for nobody in (99, 10**18):
        assert_problem(town.end(nobody, boss), 404, "not_found")
    ana = town.citizen("ana")
    ana_id = town.id_of(ana)
    assert_problem(town.end(ana_id, ana), 403, "not_allowed")
    assert town.end(ana_id, {}).status_code == 401
    assert town.end(ana_id, boss).status_code == 202
    assert_problem(town.end(ana_id, boss), 404, "not_found")
    with (
        town.runtime.transaction() as session,
        pytest.raises(Conflict, match="'local' does not count"),
    ):
        end_user(session, boss_id, heir_id=None)


def test_whoever_was_ended_is_nobody_anywhere(town: Town, boss: Headers) -> None:
    ana_id = town.id_of(town.citizen("ana"))
    person_id = person_of_product(town.runtime.database, "42").id
    for user_id in (ana_id, person_id):
        town.end(user_id, boss)
    for user_id in (ana_id, person_id):
        with town.runtime.transaction() as session:
            with pytest.raises(NotFound):
                roles.change_role(session, user_id, "administrator")
            with pytest.raises(NotFound):
                users.get_user(session, user_id)
            with pytest.raises(NotFound):
                users.user_named(session, f"ended:{user_id}")
            with pytest.raises(InvalidInput):
                users.create_user(session, f"ended:{user_id}")
            assert not session.execute(
                select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
            ).all()
        reply = town.client.post(f"/api/v1/users/{user_id}/keys", json={}, headers=boss)
        assert_problem(reply, 404, "not_found")
