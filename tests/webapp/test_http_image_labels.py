"""Labels of images over HTTP: judged at intake, read without a write, moved by feedback, judged again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select, update

from mirada.classify.labelling import LABEL_IMAGES, queue_lacking
from mirada.db.classifier_models import ClassifiedPicture, ImageLabels
from mirada.db.models import Embedding, Image, Job
from mirada.jobs import sweep
from mirada.kernel.images import ImageStatus
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

CLASSIFICATIONS = "/api/v1/classifications"


class House:
    """Ana and Bea with keys, root who administers, and an encoder that counts."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.client = create_app(runtime).test_client()
        self.keys: dict[str, dict[str, str]] = {"nobody": {}}
        for name in ("ana", "bea", "root"):
            with runtime.transaction() as session:
                user = users.create_user(session, name, is_administrator=name == "root")
                self.keys[name] = {"Authorization": f"Bearer {issue_key(session, user).key}"}

    def call(self, who: str, method: str, path: str, **request: Any) -> Any:
        return self.client.open(path, method=method, headers=self.keys[who], **request)

    def upload(self, who: str, seed: int, *, works: bool = True, **fields: Any) -> dict[str, Any]:
        data = {"file": as_upload(picture(seed)), **fields}
        response = self.call(who, "POST", "/api/v1/images", data=data)
        assert response.status_code == 201, response.get_json()
        if works:
            self.work()
        body: dict[str, Any] = response.get_json()
        return body

    def work(self) -> None:
        """Run every due job to its end."""
        with self.runtime.reading() as session:
            due = sweep.due_jobs(session)
        for job in due:
            assert run_job(self.runtime, job.id)

    def labels(self, who: str, image: dict[str, Any]) -> Any:
        return self.call(who, "GET", f"/api/v1/images/{image['id']}/labels")

    def told(self, who: str, image: dict[str, Any]) -> dict[str, Any]:
        response = self.labels(who, image)
        assert response.status_code == 200, response.get_json()
        body: dict[str, Any] = response.get_json()
        return body

    def prepare(self) -> None:
        """Let the labels themselves be encoded, as the first worker of a library does."""
        first = self.upload("root", 99)
        assert queue_lacking(self.runtime) is not None
        self.work()
        assert self.labels("root", first).status_code == 200

    def jobs(self) -> list[Job]:
        with self.runtime.reading() as session:
            query = select(Job).where(Job.kind == LABEL_IMAGES).order_by(Job.id)
            return list(session.execute(query).scalars())

    def row(self, image: dict[str, Any]) -> ImageLabels | None:
        with self.runtime.reading() as session:
            query = select(ImageLabels).where(ImageLabels.image_id == image["id"])
            return session.execute(query).scalar_one_or_none()

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """Check that what happens inside sends no statement that writes."""
        written: list[str] = []

        def look(_c: Any, _k: Any, statement: str, *_more: Any) -> None:
            if statement.lstrip().split()[0].upper() in {"INSERT", "UPDATE", "DELETE", "REPLACE"}:
                written.append(statement)

        engine = self.runtime.database.engine
        event.listen(engine, "before_cursor_execute", look)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", look)
        # The key's own last use is written by a thread of its own.
        assert [each for each in written if "api_key" not in each] == []


@pytest.fixture
def house(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> House:
    """On either database."""
    return House(with_encoder(make_runtime(auth_mode="keys", **site_settings), CountingEncoder()))


@pytest.fixture
def one(make_runtime: MakeRuntime) -> House:
    """On SQLite, where the database makes no difference."""
    return House(with_encoder(make_runtime(auth_mode="keys"), CountingEncoder()))


def test_labels_are_there_with_the_picture_and_reading_them_writes_nothing(house: House) -> None:
    house.prepare()
    image = house.upload("ana", 1)
    with house.no_writes():
        told = house.told("ana", image)
    assert [len(house.jobs()), told["image_id"]] == [1, image["id"]]
    with house.runtime.reading() as session:
        assert session.execute(select(ClassifiedPicture.id)).first() is None
    body = {"image_id": image["id"]}
    classified = house.call("ana", "POST", CLASSIFICATIONS, json=body).get_json()
    assert told["category"] == classified["category"]
    for name in ("entropy", "confidence_margin", "nsfw_score", "confidence"):
        assert told[name] == pytest.approx(classified[name], abs=1e-5), name
    assert told["none_of_these"] == classified["none_of_these"]
    assert told["ambiguous"] == classified["ambiguous"]
    for mine, theirs in zip(told["top_labels"], classified["top_labels"], strict=True):
        assert mine["label"] == theirs["label"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-5)
        assert (mine["threshold"], mine["applies"]) == (None, None)
    assert told["model"] == "counting/v1"
    assert told["computed_at"] >= image["created_at"]


def test_an_image_of_before_is_judged_by_the_job_that_the_first_look_queues(house: House) -> None:
    """The labels themselves are not encoded yet, as after an upgrade: no upload waits for that."""
    image = house.upload("ana", 1)
    assert house.row(image) is None
    first, again = house.labels("ana", image), house.labels("ana", image)
    assert first.status_code == again.status_code == 202
    job = first.get_json()
    assert (job["kind"], job["subject_id"], job["state"]) == (LABEL_IMAGES, None, "queued")
    assert first.headers["Location"] == job["url"] == again.get_json()["url"]
    assert house.call("ana", "GET", job["url"]).status_code == 200
    house.work()
    assert house.told("ana", image)["category"]
    assert len(house.jobs()) == 1


def test_a_picture_that_waits_is_told_so_and_one_that_failed_has_no_labels(one: House) -> None:
    one.prepare()
    image = one.upload("ana", 1, works=False)
    assert one.labels("ana", image).status_code == 202
    one.work()
    assert one.labels("ana", image).status_code == 200
    with one.runtime.transaction() as session:
        session.execute(
            update(Image).where(Image.id == image["id"]).values(status=ImageStatus.FAILED)
        )
    assert_problem(one.labels("ana", image), 409, "conflict")


def test_a_verdict_shows_at_once_and_nothing_is_judged_again(house: House) -> None:
    house.prepare()
    image = house.upload("ana", 1, is_public=True)
    before, kept = house.told("ana", image), house.row(image)
    label = before["top_labels"][0]["label"]
    sha256 = house.call("ana", "POST", CLASSIFICATIONS, json={"image_id": image["id"]}).get_json()
    verdict = {"image_hash": sha256["image_hash"], "theme": label, "accepted": False}
    given = house.call("ana", "POST", "/api/v1/feedback", json=verdict).get_json()

    after = house.told("ana", image)
    score = {each["label"]: each["score"] for each in after["top_labels"]}
    assert score[label] < before["top_labels"][0]["score"]
    assert after["top_labels"][0]["clip_score"] == before["top_labels"][0]["clip_score"]
    assert after["judged"] == [
        {"id": given["id"], "theme": label, "accepted": False, "url": given["url"]}
    ]
    assert house.told("bea", image)["judged"] == []
    assert house.told("nobody", image)["judged"] == []
    stays = house.row(image)
    assert kept is not None
    assert stays is not None
    assert (stays.score, stays.logits, stays.computed_at) == (
        kept.score,
        kept.logits,
        kept.computed_at,
    )
    house.call("ana", "DELETE", given["url"])
    assert house.told("ana", image) == before


def test_somebody_else_s_private_image_is_absent_and_queues_nothing(house: House) -> None:
    image = house.upload("ana", 1)
    private, unknown = house.labels("bea", image), house.labels("bea", {"id": 987_654})
    for response in (private, unknown, house.labels("nobody", image)):
        assert_problem(response, 404, "not_found")
    said = [response.get_json()["detail"] for response in (private, unknown)]
    assert said[0].replace(str(image["id"]), "N") == said[1].replace("987654", "N")
    assert house.jobs() == []


def test_without_a_key_one_is_asked_to_come_again(one: House) -> None:
    image = one.upload("ana", 1, is_public=True)
    response = one.labels("nobody", image)
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    one.work()
    assert one.labels("nobody", image).status_code == 200


def test_a_copy_of_somebody_else_s_picture_is_judged_like_a_new_one(house: House) -> None:
    """Neither of the two learns of the other: not by when labels come, nor by when they were made."""
    house.prepare()
    first = house.upload("ana", 1)
    before = house.told("ana", first)
    twin, fresh = house.upload("bea", 1, works=False), house.upload("bea", 2, works=False)
    assert [house.labels("bea", each).status_code for each in (twin, fresh)] == [202, 202]
    house.work()
    for each in (twin, fresh):
        assert house.told("bea", each)["computed_at"] > each["created_at"]
    assert house.told("ana", first) == before
    assert house.told("bea", twin)["top_labels"] == before["top_labels"]


def test_a_second_image_of_one_s_own_picture_has_labels_at_once(house: House) -> None:
    house.prepare()
    first = house.upload("ana", 1)
    second = house.upload("ana", 1, works=False)
    assert second["status"] == "READY"
    assert house.told("ana", second)["top_labels"] == house.told("ana", first)["top_labels"]
    shown = house.upload("root", 3, is_public=True)
    copy = house.upload("ana", 3, works=False)
    assert house.told("ana", copy)["computed_at"] == house.told("root", shown)["computed_at"]


def test_after_an_edit_of_the_labels_all_images_are_judged_again(house: House) -> None:
    house.prepare()
    image = house.upload("ana", 1)
    house.told("ana", image)
    assert queue_lacking(house.runtime) is None
    edited = {"threshold": 0.999}
    label = house.told("ana", image)["category"]
    assert house.call("root", "PUT", f"/api/v1/labels/{label}", json=edited).status_code == 200
    assert house.labels("ana", image).status_code == 202
    assert queue_lacking(house.runtime) == queue_lacking(house.runtime) is not None
    house.work()
    told = house.told("ana", image)
    assert (told["top_labels"][0]["threshold"], told["top_labels"][0]["applies"]) == (0.999, False)
    row = house.row(image)
    assert told["none_of_these"] is True
    assert row is not None
    assert row.label is None
    assert queue_lacking(house.runtime) is None


def test_what_is_judged_twice_stays_and_goes_with_its_image(house: House) -> None:
    house.prepare()
    image = house.upload("ana", 1)
    row = house.row(image)
    assert row is not None
    (job,) = house.jobs()
    with house.runtime.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(state="queued"))
    house.work()
    again = house.row(image)
    assert again is not None
    assert again.computed_at == row.computed_at
    assert house.call("ana", "DELETE", f"/api/v1/images/{image['id']}?now=true").status_code == 204
    assert house.row(image) is None


def test_a_damaged_vector_is_no_reason_to_look_for_ever(one: House) -> None:
    one.prepare()
    image = one.upload("ana", 1)
    with one.runtime.transaction() as session:
        session.execute(update(Embedding).values(crc32=0))
        session.execute(update(ImageLabels).values(judged_by="another"))
    assert queue_lacking(one.runtime) is not None
    one.work()
    assert queue_lacking(one.runtime) is None
    problem = assert_problem(one.labels("ana", image), 409, "conflict")
    assert "damaged" in problem["detail"]
