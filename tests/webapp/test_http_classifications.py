"""Classifications and default labels over HTTP: stored images, lists, forgetting, feedback at work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from mirada.db.models import Job
from mirada.jobs import sweep
from mirada.kernel.errors import Unavailable
from mirada.kernel.labels import DEFAULT_LABELS, DEFAULT_TEMPLATES, MAX_LABELS
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem, files_in
from testing.pictures import picture
from workers.runner import run_job

ADDRESS = "/api/v1/classifications"


class People:
    """Ana and Bea with keys, Root who administers, and an encoder that counts."""

    def __init__(self, runtime: Runtime, encoder: CountingEncoder) -> None:
        from testing.application import create_app

        self.runtime, self.encoder = runtime, encoder
        self.client = create_app(runtime).test_client()
        self.keys: dict[str, dict[str, str]] = {}
        for name in ("ana", "bea", "root"):
            with runtime.transaction() as session:
                user = users.create_user(session, name, is_administrator=name == "root")
                key = str(issue_key(session, user).key)
            self.keys[name] = {"Authorization": f"Bearer {key}"}

    def call(self, who: str, method: str, path: str, **request: Any) -> Any:
        return self.client.open(path, method=method, headers=self.keys[who], **request)

    def send(self, who: str, content: bytes, path: str = ADDRESS, **fields: Any) -> dict[str, Any]:
        part = as_upload(content)
        response = self.call(who, "POST", path, data={"file": part, **fields})
        assert response.status_code in {200, 201}, response.get_json()
        self.follow()
        return response.get_json()  # type: ignore[no-any-return]

    def work(self) -> None:
        """Run every due job to its end."""
        with self.runtime.reading() as session:
            due = sweep.due_jobs(session)
        for job in due:
            run_job(self.runtime, job.id)
        self.follow()

    def follow(self) -> None:
        self.runtime.index(self.runtime.space()[0]).refresh()

    def verdict(self, who: str, image_hash: str, theme: str, accepted: bool) -> None:
        body = {"image_hash": image_hash, "theme": theme, "accepted": accepted}
        response = self.call(who, "POST", "/feedback", json=body)
        assert response.status_code == 200, response.get_json()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def people(request: pytest.FixtureRequest, make_runtime: Callable[..., Runtime]) -> People:
    """On either database."""
    url = None if request.param == "sqlite" else request.getfixturevalue("migrated_mariadb_url")
    encoder = CountingEncoder()
    return People(with_encoder(make_runtime(auth_mode="keys", database_url=url), encoder), encoder)


@pytest.fixture
def few(make_runtime: Callable[..., Runtime]) -> People:
    """On SQLite, where the database makes no difference."""
    encoder = CountingEncoder()
    return People(with_encoder(make_runtime(auth_mode="keys"), encoder), encoder)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_stored_image_is_classified_by_its_vector(people: People) -> None:
    people.encoder.show("cat")
    image = people.send("bea", picture(1), "/api/v1/images", is_public="true")
    early = people.call("ana", "POST", ADDRESS, json={"image_id": image["id"]})
    assert_problem(early, 409, "conflict")
    people.work()
    body = people.call(
        "ana",
        "POST",
        ADDRESS,
        json={"image_id": image["id"], "labels": ["cat", "dog"], "templates": ["{}"]},
    ).get_json()
    assert (body["category"], body["image_hash"]) == ("cat", sha(picture(1)))
    assert people.encoder.images == 1
    by_bytes = people.send("ana", picture(1), labels="cat,dog", templates='["{}"]')
    assert by_bytes["raw_logits"] == body["raw_logits"]


def test_an_image_that_is_not_the_caller_s_to_see_is_404(people: People) -> None:
    image = people.send("bea", picture(1), "/api/v1/images")
    people.work()
    for image_id in (image["id"], 999, 2**63 - 1):
        response = people.call("ana", "POST", ADDRESS, json={"image_id": image_id})
        assert_problem(response, 404, "not_found")
    listed = people.call("ana", "GET", ADDRESS).get_json()
    assert listed["results"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"image_id": "7"},
        {"image_id": 0},
        {"image_id": 2**63},
        {"image_id": 1, "labels": []},
        {"image_id": 1, "labels": "[]"},
        {"image_id": 1, "labels": [""]},
        {"image_id": 1, "labels": {"cat": 1}},
        {"image_id": 1, "labels": [f"label {n}" for n in range(MAX_LABELS + 1)]},
        {"image_id": 1, "templates": ["nothing"]},
        {"image_id": 1, "nsfw_threshold": 2},
        {"image_id": 1, "similar_limit": -1},
        {"image_id": 1, "unknown": 1},
    ],
)
def test_a_question_that_makes_no_sense_is_422(few: People, wrong: dict[str, Any]) -> None:
    assert_problem(few.call("ana", "POST", ADDRESS, json=wrong), 422, "invalid_input")


def test_a_body_that_is_neither_json_nor_a_form_is_415(few: People) -> None:
    response = few.call("ana", "POST", ADDRESS, data=b"x", content_type="text/plain")
    assert_problem(response, 415, "unsupported_media_type")


def test_probabilities_of_every_label_by_itself_on_request(
    make_runtime: Callable[..., Runtime],
) -> None:
    encoder = CountingEncoder(logit_scale=10.0, logit_bias=-3.0)
    people = People(with_encoder(make_runtime(auth_mode="keys"), encoder), encoder)
    body = people.send("ana", picture(1), labels="cat,dog,bird", probabilities="true")
    assert set(body["probabilities"]) == {"cat", "dog", "bird"}
    for name, logit in body["raw_logits"].items():
        assert body["probabilities"][name] == pytest.approx(1 / (1 + 2.718281828459045**-logit))
    assert people.send("ana", picture(1), labels="cat,dog,bird")["probabilities"] is None


def test_what_was_classified_is_listed_read_and_forgotten_by_its_owner_only(
    people: People,
) -> None:
    for seed in (1, 2, 3):
        people.send("ana", picture(seed), asset_id=f"a-{seed}", theme="pets")
    people.send("bea", picture(1), asset_id="b-1")
    first = people.call("ana", "GET", f"{ADDRESS}?limit=2").get_json()
    assert [row["asset_id"] for row in first["results"]] == ["a-3", "a-2"]
    rest = people.call("ana", "GET", first["next"]).get_json()
    assert [row["asset_id"] for row in rest["results"]] == ["a-1"]
    assert rest["next"] is None
    row = rest["results"][0]
    assert set(row) == {
        "image_hash",
        "asset_id",
        "theme",
        "job_id",
        "result",
        "created_at",
        "updated_at",
        "url",
    }
    assert row["theme"] == "pets"
    assert len(row["result"]["top_labels"]) == 5
    assert people.call("ana", "GET", row["url"]).get_json() == row
    assert_problem(people.call("bea", "GET", f"{ADDRESS}/{sha(picture(2))}"), 404, "not_found")
    assert_problem(people.call("bea", "DELETE", f"{ADDRESS}/{sha(picture(2))}"), 404, "not_found")

    gone = people.call("ana", "DELETE", row["url"])
    assert (gone.status_code, "X-Change-Seq" in gone.headers) == (204, True)
    assert_problem(people.call("ana", "GET", row["url"]), 404, "not_found")
    assert_problem(people.call("ana", "DELETE", row["url"]), 404, "not_found")
    assert people.call("bea", "GET", row["url"]).get_json()["asset_id"] == "b-1"


@pytest.mark.parametrize("wrong", ["abc", "x" * 64, "0" * 65, "%00"])
def test_what_is_no_hash_is_404(few: People, wrong: str) -> None:
    assert_problem(few.call("ana", "GET", f"{ADDRESS}/{wrong}"), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_key_nothing_is_classified_or_listed(few: People, method: str) -> None:
    response = few.client.open(
        ADDRESS, method=method, json={"image_id": 1} if method == "POST" else None
    )
    assert_problem(response, 401, "not_authenticated")


def test_feedback_moves_the_scores_of_pictures_like_the_judged_ones(people: People) -> None:
    people.encoder.show("cat", "dog")
    asked = {"labels": "cat,dog,bird", "templates": '["{}"]', "theme": "my pack"}
    before = people.send("ana", picture(1), **asked)
    scores = {label["label"]: label["score"] for label in before["top_labels"]}
    assert (before["theme_affinity"], before["theme_verdicts"]) == (0.5, 0)
    for who in ("ana", "bea", "root"):
        people.send(who, picture(2))
        people.verdict(who, sha(picture(2)), "Dog", True)
        people.verdict(who, sha(picture(2)), "cat", False)
        people.verdict(who, sha(picture(2)), "My Pack", True)
    after = people.send("ana", picture(1), **asked)
    moved = {label["label"]: label["score"] for label in after["top_labels"]}
    assert moved["dog"] > scores["dog"]
    assert moved["cat"] < scores["cat"]
    assert sum(moved.values()) == pytest.approx(1, abs=1e-6)
    clip = [label["clip_score"] for label in sorted(after["top_labels"], key=lambda x: x["label"])]
    assert clip == [
        label["clip_score"] for label in sorted(before["top_labels"], key=lambda x: x["label"])
    ]
    assert after["raw_logits"] == before["raw_logits"]
    assert after["category"] == "dog"
    assert after["theme_affinity"] > 0.6
    assert after["theme_verdicts"] == 3
    verdicts = people.call("ana", "GET", "/api/v1/feedback").get_json()["results"]
    for verdict in verdicts:
        assert people.call("ana", "DELETE", verdict["url"]).status_code == 204
    undone = people.send("ana", picture(1), **asked)
    assert undone["theme_verdicts"] == 2


def test_feedback_can_be_switched_off(make_runtime: Callable[..., Runtime]) -> None:
    encoder = CountingEncoder()
    runtime = with_encoder(make_runtime(auth_mode="keys", enable_adaptive_scoring=False), encoder)
    people = People(runtime, encoder)
    people.send("ana", picture(1))
    people.verdict("ana", sha(picture(1)), "cat", True)
    body = people.send("ana", picture(1), labels="cat,dog", theme="cat")
    assert all(label["score"] == label["clip_score"] for label in body["top_labels"])
    assert body["theme_verdicts"] == 0


def test_an_administrator_edits_the_default_labels_and_everybody_is_judged_by_them(
    people: People,
) -> None:
    created = people.call(
        "root",
        "PUT",
        "/api/v1/labels/pink axolotl",
        json={
            "description": "a salamander",
            "templates": ["a sticker of a {}"],
            "threshold": 0.999999,
        },
    )
    assert created.status_code == 201, created.get_json()
    assert created.headers["Location"] == "/api/v1/labels/pink%20axolotl"
    assert created.get_json()["templates"] == ["a sticker of a {}"]
    body = people.send("ana", picture(1))
    assert len(body["raw_logits"]) == len(DEFAULT_LABELS) + 1
    assert "pink axolotl" in body["raw_logits"]
    assert people.call("ana", "GET", "/labels").get_json()["label_thresholds"] == {
        "pink axolotl": 0.999999
    }
    people.encoder.show("a sticker of a pink axolotl", "joy")
    near = people.send("ana", picture(2))
    best = near["top_labels"][0]
    assert (best["label"], best["applies"]) == ("pink axolotl", False)
    assert near["none_of_these"] is True
    replaced = people.call("root", "PUT", "/api/v1/labels/pink axolotl", json={})
    assert (replaced.status_code, replaced.get_json()["threshold"]) == (200, None)
    assert people.send("ana", picture(2))["top_labels"][0]["applies"] is None
    gone = people.call("root", "DELETE", "/api/v1/labels/pink axolotl")
    assert gone.status_code == 204
    assert_problem(people.call("ana", "GET", "/api/v1/labels/pink axolotl"), 404, "not_found")
    listed = people.call("ana", "GET", "/api/v1/labels").get_json()
    assert (listed["is_edited"], listed["count"]) == (True, len(DEFAULT_LABELS))
    assert listed["templates"] == list(DEFAULT_TEMPLATES)
    assert people.call("root", "DELETE", "/api/v1/labels").status_code == 204
    assert not people.call("ana", "GET", "/api/v1/labels").get_json()["is_edited"]


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("PUT", "/api/v1/labels/axolotl", {}),
        ("DELETE", "/api/v1/labels/cat", None),
        ("DELETE", "/api/v1/labels", None),
    ],
)
def test_only_an_administrator_edits_labels(
    few: People, method: str, path: str, json: dict[str, Any] | None
) -> None:
    assert_problem(few.call("ana", method, path, json=json), 403, "not_allowed")
    anonymous = few.client.open(path, method=method, json=json)
    assert_problem(anonymous, 401, "not_authenticated")
    assert not few.call("ana", "GET", "/api/v1/labels").get_json()["is_edited"]


@pytest.mark.parametrize(
    ("name", "json", "field"),
    [
        ("x" * 101, {}, "name"),
        ("%E2%80%AE", {}, "name"),
        ("axolotl", {"threshold": 2}, "threshold"),
        ("axolotl", {"threshold": "high"}, "threshold"),
        ("axolotl", {"templates": []}, "templates"),
        ("axolotl", {"templates": ["none"]}, "templates"),
        ("axolotl", {"templates": "a {}"}, "templates"),
        ("axolotl", {"description": "x" * 301}, "description"),
        ("axolotl", {"colour": "pink"}, "colour"),
    ],
)
def test_a_label_that_cannot_be_kept_is_422_and_changes_nothing(
    few: People, name: str, json: dict[str, Any], field: str
) -> None:
    response = few.call("root", "PUT", f"/api/v1/labels/{name}", json=json)
    assert field in assert_problem(response, 422, "invalid_input")["errors"]
    assert not few.call("ana", "GET", "/api/v1/labels").get_json()["is_edited"]


def test_descriptions_join_the_prompts_where_they_are_asked_for(few: People) -> None:
    few.call("root", "PUT", "/api/v1/labels/axolotl", json={"description": "a pink salamander"})
    plain = few.send("ana", picture(1))
    assert "a pink salamander" not in few.encoder.texts
    described = few.send("ana", picture(1), label_descriptions="true")
    assert few.encoder.texts.count("a pink salamander") == 1
    assert described["raw_logits"]["axolotl"] != plain["raw_logits"]["axolotl"]


def test_many_images_are_classified_as_one_job(people: People) -> None:
    images = [people.send("ana", picture(seed), "/api/v1/images") for seed in range(60)]
    people.send("ana", picture(0), "/api/v1/images")
    shown = people.send("bea", picture(100), "/api/v1/images", is_public="true")
    people.work()
    people.send("ana", picture(3), asset_id="a-3")
    started = people.call("ana", "POST", f"{ADDRESS}/batches", json={"all": True})
    assert started.status_code == 202, started.get_json()
    assert started.headers["Location"] == started.get_json()["url"]
    people.work()
    job = people.call("ana", "GET", started.headers["Location"]).get_json()
    assert (job["state"], job["done"], job["total"]) == ("done", 61, 61)
    page = people.call("ana", "GET", f"{ADDRESS}?job_id={job['id']}&limit=100").get_json()
    assert page["count"] == 60
    assert {row["image_hash"] for row in page["results"]} == {sha(picture(n)) for n in range(60)}
    assert all(len(row["result"]["top_labels"]) == 5 for row in page["results"])
    assert [row["asset_id"] for row in page["results"] if row["asset_id"]] == ["a-3"]
    assert people.encoder.images == 61

    chosen = {"image_ids": [shown["id"], images[0]["id"]], "labels": ["cat", "dog"]}
    second = people.call("ana", "POST", f"{ADDRESS}/batches", json=chosen).get_json()
    people.work()
    listed = people.call("ana", "GET", f"{ADDRESS}?job_id={second['id']}").get_json()
    assert {row["image_hash"] for row in listed["results"]} == {
        sha(picture(100)),
        sha(picture(0)),
    }
    for row in listed["results"]:
        assert {label["label"] for label in row["result"]["top_labels"]} == {"cat", "dog"}
    assert_problem(people.call("bea", "GET", second["url"]), 404, "not_found")


def test_a_batch_waits_for_images_that_have_no_vector_yet(few: People) -> None:
    image = few.send("ana", picture(1), "/api/v1/images")
    started = few.call("ana", "POST", f"{ADDRESS}/batches", json={"image_ids": [image["id"]]})
    job_id = started.get_json()["id"]
    run_job(few.runtime, job_id)
    waiting = few.call("ana", "GET", started.get_json()["url"]).get_json()
    assert (waiting["state"], waiting["last_error"]) == (
        "queued",
        "1 of the images still wait for their vectors.",
    )
    few.work()
    with few.runtime.transaction() as session:
        session.get_one(Job, job_id).next_run_at_ms = 0
    few.work()
    listed = few.call("ana", "GET", f"{ADDRESS}?job_id={job_id}").get_json()
    assert [row["image_hash"] for row in listed["results"]] == [sha(picture(1))]


def test_an_image_that_is_deleted_before_the_job_begins_is_left_out(few: People) -> None:
    gone, stays = (few.send("ana", picture(seed), "/api/v1/images") for seed in (1, 2))
    few.work()
    wanted = {"image_ids": [gone["id"], stays["id"]]}
    started = few.call("ana", "POST", f"{ADDRESS}/batches", json=wanted).get_json()
    few.call("ana", "DELETE", gone["url"])
    few.work()
    assert few.call("ana", "GET", started["url"]).get_json()["state"] == "done"
    listed = few.call("ana", "GET", f"{ADDRESS}?job_id={started['id']}").get_json()
    assert [row["image_hash"] for row in listed["results"]] == [sha(picture(2))]


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({}, 422, "invalid_input"),
        ({"all": True, "image_ids": [1]}, 422, "invalid_input"),
        ({"image_ids": []}, 422, "invalid_input"),
        ({"image_ids": list(range(1, 1002))}, 422, "invalid_input"),
        ({"image_ids": ["1"]}, 422, "invalid_input"),
        ({"image_ids": [1], "labels": [""]}, 422, "invalid_input"),
        ({"image_ids": [1, 999]}, 404, "not_found"),
        ({"all": True}, 409, "conflict"),
    ],
)
def test_a_batch_that_makes_no_sense_queues_nothing(
    few: People, wanted: dict[str, Any], status: int, code: str
) -> None:
    few.send("bea", picture(1), "/api/v1/images")
    few.work()
    assert_problem(few.call("ana", "POST", f"{ADDRESS}/batches", json=wanted), status, code)
    listed = few.call("root", "GET", "/api/v1/jobs?kind=classify_images_task").get_json()
    assert listed["results"] == []


@pytest.mark.parametrize("policy", ["flag", "hide"])
def test_what_is_unsafe_is_hidden_from_others_searches_where_the_policy_says_so(
    make_runtime: Callable[..., Runtime], policy: str
) -> None:
    encoder = CountingEncoder()
    runtime = with_encoder(make_runtime(auth_mode="keys", nsfw_policy=policy), encoder)
    people = People(runtime, encoder)
    encoder.show(*UNSAFE_PROMPTS)
    unsafe = people.send("ana", picture(1), "/api/v1/images", is_public="true")
    people.work()
    encoder.show(*UNSAFE_PROMPTS, *SAFE_PROMPTS[:1])
    people.send("ana", picture(2))
    encoder.show(*SAFE_PROMPTS)
    safe = people.send("ana", picture(3), "/api/v1/images", is_public="true")
    people.work()

    def found(who: str | None) -> set[int]:
        headers = {} if who is None else people.keys[who]
        search = {"text": "a naked person", "k": 10}
        reply = people.client.post("/api/v1/search", json=search, headers=headers)
        return {result["image"]["id"] for result in reply.get_json()["results"]}

    def similar(who: str) -> set[str]:
        body = people.send(who, picture(4), similar_threshold="-1")
        return {near["image_hash"] for near in body["similar_images"]}

    everything = {unsafe["id"], safe["id"]}
    assert found("ana") == everything
    assert found("bea") == found(None) == (everything if policy == "flag" else {safe["id"]})
    assert similar("ana") == {sha(picture(seed)) for seed in (1, 2, 3)}
    shown = {sha(picture(3))} | ({sha(picture(1))} if policy == "flag" else set())
    assert similar("bea") == shown
    listed = people.call("bea", "GET", "/api/v1/images").get_json()["results"]
    assert {image["id"] for image in listed} == everything


def test_a_policy_that_cannot_judge_shows_nothing(make_runtime: Callable[..., Runtime]) -> None:
    encoder = CountingEncoder()
    first = People(with_encoder(make_runtime(auth_mode="open"), encoder), encoder)
    image = first.send("ana", picture(1), "/api/v1/images", is_public="true")
    first.work()
    first.send("ana", picture(2), "/api/v1/images", is_public="true")
    first.work()
    data_dir = first.runtime.settings.data_dir
    blind = make_runtime(data_dir=data_dir, nsfw_policy="hide", embeddings_enabled=False)
    from testing.application import create_app

    reply = create_app(blind).test_client().get(f"/api/v1/images/{image['id']}/similar")
    assert_problem(reply, 409, "conflict")


def test_a_batch_that_is_sent_twice_with_one_key_is_one_job(people: People) -> None:
    image = people.send("ana", picture(1), "/api/v1/images")
    people.work()
    headers = {**people.keys["ana"], "Idempotency-Key": "batch-1"}
    wanted = {"image_ids": [image["id"]]}

    def post(body: dict[str, Any]) -> Any:
        return people.client.post(f"{ADDRESS}/batches", json=body, headers=headers)

    first, second = post(wanted), post(wanted)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.get_json()["id"] == first.get_json()["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert_problem(post({"all": True}), 422, "invalid_input")
    jobs = people.call("ana", "GET", "/api/v1/jobs?kind=classify_images_task").get_json()
    assert jobs["count"] == 1


def test_a_deleted_image_s_file_goes_while_another_s_classification_of_it_stays(
    people: People,
) -> None:
    folder = people.runtime.settings.image_dir
    image = people.send("bea", picture(1), "/api/v1/images")
    people.work()
    people.send("bea", picture(1), asset_id="b-1")
    people.send("ana", picture(1), asset_id="a-1")
    assert len(files_in(folder)) == 1
    assert people.call("bea", "DELETE", f"{image['url']}?now=true").status_code == 204
    assert files_in(folder) == []
    address = f"{ADDRESS}/{sha(picture(1))}"
    assert_problem(people.call("bea", "GET", address), 404, "not_found")
    assert people.call("ana", "GET", address).get_json()["asset_id"] == "a-1"
    people.send("ana", picture(1))
    again = people.send("bea", picture(1), "/api/v1/images")
    # That Ana has the vector is hers to know; Bea's own job finds it there.
    assert again["status"] == "PENDING"
    people.work()
    assert people.call("bea", "GET", again["url"]).get_json()["status"] == "READY"
    assert people.encoder.images == 1
    assert len(files_in(folder)) == 1
    assert people.client.get(
        again["file_url"], headers=people.keys["bea"], buffered=True
    ).get_data() == picture(1)


def test_a_database_that_is_away_is_503_and_nothing_is_kept(
    few: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    few.send("ana", picture(1))

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("The database cannot be reached just now; try again shortly.")

    with monkeypatch.context() as patch:
        patch.setattr("mirada.classify.remembered.remember_sent", fail)
        response = few.call("ana", "POST", ADDRESS, data={"file": as_upload(picture(2))})
    assert_problem(response, 503, "unavailable")
    assert "Retry-After" in response.headers
    assert len(few.call("ana", "GET", ADDRESS).get_json()["results"]) == 1
    few.send("ana", picture(2))
    assert len(few.call("ana", "GET", ADDRESS).get_json()["results"]) == 2
