"""Query pictures over HTTP: kept for a day for their sender alone, asked with, and gone afterwards."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.models import Content, Image, utc_now
from mirada.db.query_models import QueryPicture
from mirada.people import keys, users
from mirada.runtime import Runtime
from mirada.search import query_pictures
from testing.application import create_app
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload, assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.sweeper import Sweeper

PATH = "/api/v1/query-pictures"


class Desk:
    """Two people with keys, an encoder that counts, and a picture for everybody."""

    def __init__(self, runtime: Runtime) -> None:
        self.encoder = CountingEncoder()
        self.runtime = with_encoder(runtime, self.encoder)
        self.client = create_app(self.runtime).test_client()
        self.headers: dict[str, dict[str, str]] = {"nobody": {}}
        with runtime.transaction() as session:
            for name in ("ana", "ben"):
                key = keys.issue(session, users.create_user(session, name)).key
                self.headers[name] = {"Authorization": f"Bearer {key}"}
        self._seeds = itertools.count(1)
        runtime.space()

    def send(self, who: str = "ana", content: bytes | None = None, **headers: str) -> Any:
        file = as_upload(picture(next(self._seeds)) if content is None else content)
        return self.client.post(PATH, data={"file": file}, headers={**self.headers[who], **headers})

    def get(self, path: str, who: str = "ana") -> Any:
        return self.client.get(path, headers=self.headers[who])

    def search(self, who: str, *parts: dict[str, Any]) -> Any:
        body = {"query": list(parts)}
        return self.client.post("/api/v1/search", json=body, headers=self.headers[who])

    def counts(self) -> tuple[int, int, int]:
        """Return how many query pictures, images and contents there are."""
        with self.runtime.reading() as session:
            found = (
                session.scalar(select(func.count()).select_from(table))
                for table in (QueryPicture, Image, Content)
            )
            return tuple(found)  # type: ignore[return-value]

    def let_expire(self) -> None:
        with self.runtime.transaction() as session:
            session.execute(
                update(QueryPicture).values(expires_at=utc_now() - timedelta(seconds=1))
            )


@pytest.fixture
def desk(make_runtime: MakeRuntime) -> Desk:
    return Desk(make_runtime(auth_mode="keys"))


def test_a_kept_picture_is_asked_with_and_encoded_once(desk: Desk) -> None:
    content = picture(77)
    sent = desk.send(content=content)
    assert sent.status_code == 201, sent.get_json()
    body = sent.get_json()
    assert sent.headers["Location"] == body["url"] == f"{PATH}/{body['id']}"
    assert desk.get(body["url"]).get_json() == body
    assert [each["id"] for each in desk.get(PATH).get_json()["results"]] == [body["id"]]
    assert (desk.encoder.images, desk.counts()) == (1, (1, 0, 0))
    for _ in range(2):
        assert desk.search("ana", {"picture": body["id"]}, {"text": "cat"}).status_code == 200
    assert desk.encoder.images == 1
    thumbnail = desk.get(body["thumbnail_url"])
    assert (thumbnail.status_code, thumbnail.mimetype) == (200, "image/webp")
    assert "private" in thumbnail.headers["Cache-Control"]
    again = desk.client.get(
        body["thumbnail_url"],
        headers={**desk.headers["ana"], "If-None-Match": thumbnail.headers["ETag"]},
    )
    assert again.status_code == 304
    assert desk.client.delete(body["url"], headers=desk.headers["ana"]).status_code == 204
    assert desk.counts() == (0, 0, 0)
    assert_problem(desk.get(body["url"]), 404, "not_found")
    assert_problem(desk.search("ana", {"picture": body["id"]}), 404, "not_found")


def test_it_is_no_image_and_nothing_known(desk: Desk) -> None:
    content = picture(78)
    body = desk.send(content=content).get_json()
    found = desk.search("ana", {"picture": body["id"]}).get_json()
    assert (found["results"], found["permitted_count"]) == ([], 0)
    assert desk.get("/api/v1/images").get_json()["count"] == 0
    classified = desk.get("/api/v1/classifications").get_json()
    assert classified["results"] == []
    upload = {"file": as_upload(content)}
    image = desk.client.post("/api/v1/images", data=upload, headers=desk.headers["ana"])
    assert image.get_json()["status"] == "PENDING"


def test_another_persons_is_as_absent_as_none(desk: Desk) -> None:
    body = desk.send("ana").get_json()
    for path in (body["url"], body["thumbnail_url"]):
        theirs = assert_problem(desk.get(path, "ben"), 404, "not_found")
        nobodys = desk.get(path.replace(f"/{body['id']}", "/987"), "ben").get_json()
        assert theirs["detail"].replace(f" {body['id']},", " 987,") == nobodys["detail"]
        assert_problem(desk.get(path, "nobody"), 401, "not_authenticated")
    assert_problem(desk.client.delete(body["url"], headers=desk.headers["ben"]), 404, "not_found")
    for who in ("ben", "nobody"):
        assert_problem(desk.search(who, {"picture": body["id"]}), 404, "not_found")
    assert desk.get(PATH, "ben").get_json()["results"] == []
    assert_problem(desk.send("nobody"), 401, "not_authenticated")
    assert desk.counts()[0] == 1


def test_after_a_day_it_is_gone_and_its_bytes_with_the_next_sweep(desk: Desk) -> None:
    body = desk.send().get_json()
    desk.let_expire()
    for path in (body["url"], body["thumbnail_url"]):
        assert_problem(desk.get(path), 404, "not_found")
    assert_problem(desk.search("ana", {"picture": body["id"]}), 404, "not_found")
    assert desk.counts()[0] == 1
    Sweeper(desk.runtime).sweep()
    assert desk.counts()[0] == 0
    assert desk.send().get_json()["id"] > body["id"]


@pytest.mark.parametrize("bound", ["MOST_KEPT", "MOST_BYTES"])
def test_one_person_keeps_no_more_than_so_many(
    desk: Desk, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.send()
    with desk.runtime.reading() as session:
        size = session.scalar(select(QueryPicture.byte_size)) or 0
    monkeypatch.setattr(query_pictures, bound, 1 if bound == "MOST_KEPT" else size + 1)
    refused = assert_problem(desk.send(), 409, "conflict")
    assert "delete one" in refused["detail"]
    assert desk.send("ben").status_code == 201
    desk.client.delete(first.get_json()["url"], headers=desk.headers["ana"])
    assert desk.send().status_code == 201


def test_one_idempotency_key_keeps_one_picture(desk: Desk) -> None:
    content, key = picture(5), {"Idempotency-Key": "k-1"}
    first, again = (desk.send(content=content, **key) for _ in range(2))
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (desk.encoder.images, desk.counts()[0]) == (1, 1)
    assert_problem(desk.send(content=picture(6), **key), 422, "invalid_input")
    desk.client.delete(first.get_json()["url"], headers=desk.headers["ana"])
    assert_problem(desk.send(content=content, **key), 409, "conflict")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({}, 422),
        ({"file": b"no picture"}, 415),
        ({"file": b""}, 422),
        ({"picture": b"other name"}, 422),
        ({"file": picture(1)[:200]}, 422),
        ({"file": picture(1), "caption": "x"}, 422),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused_and_nothing_kept(
    desk: Desk, data: dict[str, Any], status: int
) -> None:
    parts = {name: as_upload(v) if isinstance(v, bytes) else v for name, v in data.items()}
    reply = desk.client.post(
        PATH, data=parts, headers=desk.headers["ana"], content_type="multipart/form-data"
    )
    assert reply.status_code == status, reply.get_json()
    assert desk.counts() == (0, 0, 0)


@pytest.mark.parametrize("picture_id", [0, -1, 2**63, 2**80])
def test_an_odd_number_is_404(desk: Desk, picture_id: int) -> None:
    assert_problem(desk.search("ana", {"picture": picture_id}), 404, "not_found")
