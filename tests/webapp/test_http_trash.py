"""The trash over HTTP: a deleted image is nowhere, and comes back with all that it had."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from mirada.db.files_to_remove import FileToRemove
from mirada.db.models import Image, utc_now
from mirada.pictures import trash
from mirada.pictures.derivatives import remove_left_behind
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import (
    Gallery,
    as_upload,
    assert_problem,
    files_in,
    on_arc,
    without_duplicates,
)
from testing.pictures import picture
from workers.runner import run_job

IMAGES = "/api/v1/images"
KeyOf = Callable[..., dict[str, str]]


def found(gallery: Gallery, headers: dict[str, str] | None = None) -> list[int]:
    reply = gallery.client.post(
        "/api/v1/search", json={"vector": on_arc(0), "k": 10}, headers=headers or {}
    )
    return [each["image"]["id"] for each in reply.get_json()["results"]]


def listed(gallery: Gallery, query: str = "", headers: dict[str, str] | None = None) -> list[int]:
    body = gallery.get(f"{IMAGES}?{query}", headers).get_json()
    return [each["id"] for each in body["results"]]


def erase_due(gallery: Gallery) -> None:
    """Do what a worker does of the job that erases."""
    trash.queue_due_erasing(gallery.runtime)
    jobs = gallery.get("/api/v1/jobs?kind=erase_trash_task").get_json()["results"]
    for job in jobs:
        run_job(gallery.runtime, job["id"])


def age(gallery: Gallery, image_id: int, days: float) -> None:
    then = utc_now().replace(microsecond=0) - timedelta(days=days)
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id == image_id).values(trashed_at=then))


def test_a_deleted_image_is_nowhere_and_comes_back_as_it_was(gallery: Gallery) -> None:
    kept = gallery.upload(degrees=3, is_public="true")
    image = gallery.upload(
        seed=7, degrees=0, is_public="true", caption="a lighthouse", asset_id="sticker-7"
    )
    path = f"{IMAGES}/{image['id']}"
    gallery.client.put(f"{path}/like")
    gallery.client.post(f"{path}/comments", json={"text": "so bright"})
    before = without_duplicates(gallery.get(path))
    src = before["picture"]["src"]["320"]
    comments = gallery.get(f"{path}/comments").get_json()

    assert gallery.client.delete(path).status_code == 204

    for tail in ("", "/file", "/thumbnail", "/likes", "/comments", "/similar", "/labels"):
        assert gallery.get(path + tail).status_code == 404, tail
    for call in (
        gallery.client.patch(path, json={"is_public": False}),
        gallery.client.put(f"{path}/like"),
        gallery.client.delete(path),
        gallery.client.post("/api/v1/search", json={"image_id": image["id"]}),
    ):
        assert_problem(call, 404, "not_found")
    assert gallery.get(src).status_code == 404
    assert found(gallery) == listed(gallery) == [kept["id"]]
    assert listed(gallery, "asset_id=sticker-7") == []
    body = gallery.client.post("/api/v1/search", json={"text": "lighthouse", "by": "words"})
    assert [each["image"]["id"] for each in body.get_json().get("results", [])] == []
    for query in ("", "?everybody=true"):
        stats = gallery.get(f"/api/v1/stats{query}").get_json()
        assert (stats["images"], stats["public"]) == (1, 1)

    reply = gallery.client.post(f"{path}/restore")

    assert reply.status_code == 200
    after = without_duplicates(gallery.get(path))
    assert reply.get_json() == after
    assert after["picture"]["src"]["320"] not in (src, None)
    assert gallery.get(src).status_code == 404
    for changed in ("picture", "version", "updated_at"):
        before.pop(changed), after.pop(changed)
    assert after == before
    assert gallery.get(f"{path}/comments").get_json() == comments
    gallery.runtime.index(gallery.space_id).refresh()
    assert found(gallery) == [image["id"], kept["id"]]
    assert listed(gallery, "asset_id=sticker-7") == [image["id"]]
    assert_problem(gallery.client.post(f"{path}/restore"), 404, "not_found")


def test_the_trash_is_listed_by_pages_to_its_owner_with_its_dates(gallery: Gallery) -> None:
    ids = [gallery.upload()["id"] for _ in range(5)]
    for image_id in ids:
        gallery.client.delete(f"{IMAGES}/{image_id}")
    # All but one within one second.
    moment = utc_now().replace(microsecond=0)
    for place, image_id in enumerate(ids):
        age(gallery, image_id, 2 if place == 4 else 1)
    with gallery.runtime.transaction() as session:
        session.execute(update(Image).where(Image.id.in_(ids[:4])).values(trashed_at=moment))

    seen, address = [], f"{IMAGES}?trash=true&limit=2"
    while address:
        page = gallery.get(address).get_json()
        seen += page["results"]
        address = page["next"]

    assert [each["id"] for each in seen] == [*ids[3::-1], ids[4]]
    for each in seen:
        since, until = (datetime.fromisoformat(each[name]) for name in ("trashed_at", "gone_at"))
        assert until - since == timedelta(days=30)
    assert gallery.get(f"{IMAGES}?trash=true").get_json()["total"]["value"] == 5
    assert "trashed_at" not in gallery.upload()
    assert (
        "sort"
        in assert_problem(gallery.get(f"{IMAGES}?trash=true&sort=likes"), 422, "invalid_input")[
            "errors"
        ]
    )


def test_nobody_else_learns_of_the_trash(guarded: Gallery, key_of: KeyOf) -> None:
    ana, bea, boss = key_of("ana"), key_of("bea"), key_of("boss", is_administrator=True)
    public = guarded.upload(headers=ana, degrees=0, is_public="true")["id"]
    private = guarded.upload(headers=ana, degrees=2)["id"]
    for image_id in (public, private):
        assert guarded.client.delete(f"{IMAGES}/{image_id}", headers=ana).status_code == 204

    assert listed(guarded, "trash=true", ana) == [private, public]
    addresses = [
        each["picture"]["src"]["320"]
        for each in guarded.get(f"{IMAGES}?trash=true", ana).get_json()["results"]
    ]
    for who in (bea, boss, {}):
        assert listed(guarded, "trash=true", who) == listed(guarded, "", who) == []
        assert found(guarded, who) == []
        assert [guarded.get(each, who).status_code for each in addresses] == [404, 404]
    # Its owner is shown what is in it; nothing else has an answer, until a worker made the copy.
    assert {guarded.get(each, ana).status_code for each in addresses} <= {200, 503}
    for query in ("", "?now=true"):
        reply = guarded.client.delete(f"{IMAGES}/{public}{query}", headers=bea)
        assert_problem(reply, 404, "not_found")
    restored = guarded.client.post(f"{IMAGES}/{public}/restore", headers=bea)
    assert_problem(restored, 404, "not_found")
    assert_problem(
        guarded.client.post(f"{IMAGES}/{private}/restore", headers=boss), 404, "not_found"
    )
    assert guarded.client.delete("/api/v1/trash", headers=bea).get_json() == {"count": 0}
    assert guarded.client.delete("/api/v1/trash").status_code == 401
    assert listed(guarded, "trash=true", ana) == [private, public]
    # An administrator may where everybody saw it.
    assert guarded.client.post(f"{IMAGES}/{public}/restore", headers=boss).status_code == 200
    assert listed(guarded, "", bea) == [public]


def test_what_an_administrator_deletes_its_owner_has_back_and_does_not_show(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea, boss = key_of("ana"), key_of("bea"), key_of("boss", is_administrator=True)
    image_id = guarded.upload(headers=ana, degrees=0, is_public="true")["id"]
    path = f"{IMAGES}/{image_id}"
    assert guarded.client.delete(path, headers=boss).status_code == 204

    body = guarded.client.post(f"{path}/restore", headers=ana).get_json()

    assert (body["is_public"], body["is_hidden"]) == (False, True)
    shown = guarded.client.patch(path, json={"is_public": True}, headers=ana)
    assert_problem(shown, 403, "not_allowed")
    assert guarded.get(path, bea).status_code == 404
    # Deleted again, and gone for good.
    guarded.client.delete(path, headers=ana)
    assert guarded.client.delete(f"{path}?now=true", headers=boss).status_code == 204
    assert_problem(guarded.client.post(f"{path}/restore", headers=ana), 404, "not_found")


def test_now_erases_also_from_the_trash(gallery: Gallery) -> None:
    folder = gallery.runtime.settings.image_dir
    first, second = gallery.upload(), gallery.upload()
    gallery.client.delete(f"{IMAGES}/{first['id']}")
    assert len(files_in(folder)) == 2
    for image in (first, second):
        reply = gallery.client.delete(f"{IMAGES}/{image['id']}?now=true")
        assert reply.status_code == 204
    assert files_in(folder) == listed(gallery, "trash=true") == []
    with gallery.runtime.reading() as session:
        assert session.execute(select(func.count()).select_from(FileToRemove)).scalar_one() == 0


def test_without_days_there_is_no_trash(make_runtime: Callable[..., Runtime]) -> None:
    runtime = make_runtime(trash_days=0)
    gallery = Gallery(runtime, create_app(runtime).test_client())
    image = gallery.upload()
    gallery.client.delete(f"{IMAGES}/{image['id']}")
    assert files_in(runtime.settings.image_dir) == listed(gallery, "trash=true") == []


def test_a_job_erases_what_was_there_long_enough(gallery: Gallery) -> None:
    old, young, there = (gallery.upload()["id"] for _ in range(3))
    for image_id in (old, young):
        gallery.client.delete(f"{IMAGES}/{image_id}")
    age(gallery, old, 30.1)
    age(gallery, young, 29.9)
    erase_due(gallery)
    assert listed(gallery, "trash=true") == [young]
    assert listed(gallery) == [there]
    assert len(files_in(gallery.runtime.settings.image_dir)) == 2


def test_an_emptied_trash_is_empty_at_once_and_a_job_erases(gallery: Gallery) -> None:
    ids = [gallery.upload()["id"] for _ in range(3)]
    for image_id in ids[:2]:
        gallery.client.delete(f"{IMAGES}/{image_id}")

    reply = gallery.client.delete("/api/v1/trash")

    assert (reply.status_code, reply.get_json()) == (202, {"count": 2})
    assert listed(gallery, "trash=true") == []
    for image_id in ids[:2]:
        for call in (
            gallery.client.post(f"{IMAGES}/{image_id}/restore"),
            gallery.client.delete(f"{IMAGES}/{image_id}?now=true"),
        ):
            assert_problem(call, 404, "not_found")
    erase_due(gallery)
    assert len(files_in(gallery.runtime.settings.image_dir)) == 1
    with gallery.runtime.reading() as session:
        assert session.execute(select(Image.id)).scalars().all() == ids[2:]
    assert gallery.client.delete("/api/v1/trash").get_json() == {"count": 0}


def test_a_crash_between_the_rows_and_the_file_leaves_no_file(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = gallery.upload()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(trash, "remove_picture", killed)
        with pytest.raises(KeyboardInterrupt):
            gallery.client.delete(f"{IMAGES}/{image['id']}?now=true")
    folder = gallery.runtime.settings.image_dir
    assert len(files_in(folder)) == 1
    # Whoever deleted it may still be about to remove it.
    remove_left_behind(gallery.runtime)
    assert len(files_in(folder)) == 1
    with gallery.runtime.transaction() as session:
        session.execute(update(FileToRemove).values(created_at=utc_now() - timedelta(minutes=2)))
    remove_left_behind(gallery.runtime)
    assert files_in(folder) == []
    with gallery.runtime.reading() as session:
        assert session.execute(select(FileToRemove.storage_key)).all() == []


def test_the_same_bytes_come_in_anew_while_they_are_in_the_trash(gallery: Gallery) -> None:
    headers = {"Idempotency-Key": "one"}
    image = gallery.upload(seed=7, headers=headers, degrees=0)
    sha256 = hashlib.sha256(picture(7)).hexdigest()

    def known() -> list[int]:
        reply = gallery.client.post(f"{IMAGES}/known", json={"sha256": [sha256]})
        return [each["image_id"] for each in reply.get_json()["known"].values()]

    assert known() == [image["id"]]
    gallery.client.delete(f"{IMAGES}/{image['id']}")
    assert known() == []

    def again(query: str = "", **more: Any) -> Any:
        form = {"file": as_upload(picture(7))}
        return gallery.client.post(f"{IMAGES}{query}", data=form, **more)

    assert again(headers=headers).status_code == 409
    made = again("?on_duplicate=return")
    assert made.status_code == 201
    # Like bytes that are new: it waits for its own job.
    assert (made.get_json()["id"] != image["id"], made.get_json()["status"]) == (True, "PENDING")
    assert gallery.client.delete(f"{IMAGES}/{made.get_json()['id']}?now=true").status_code == 204
    assert gallery.client.post(f"{IMAGES}/{image['id']}/restore").status_code == 200
    gallery.runtime.index(gallery.space_id).refresh()
    assert found(gallery) == [image["id"]]
    assert gallery.get(f"{IMAGES}/{image['id']}/file").status_code == 200
