"""Likes over HTTP: put and deleted by who may see the image, and told with every image."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, select

from mirada.db.memory_models import Comment, Like
from mirada.db.models import Image
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.patience import PATIENCE_S

KeyOf = Callable[..., dict[str, str]]
IMAGES = "/api/v1/images"


def like(gallery: Gallery, image: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    return gallery.client.put(f"{image['url']}/like", headers=headers or {})


def unlike(gallery: Gallery, image: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    return gallery.client.delete(f"{image['url']}/like", headers=headers or {})


def likers(gallery: Gallery, image: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    return gallery.get(f"{image['url']}/likes", headers)


def test_a_like_is_put_and_taken_back_as_often_as_one_likes(gallery: Gallery) -> None:
    image = gallery.upload()
    assert (image["like_count"], image["comment_count"], image["liked"]) == (0, 0, False)
    for _ in range(2):
        response = like(gallery, image)
        assert (response.status_code, response.get_json()) == (
            200,
            {"liked": True, "like_count": 1},
        )
    read = gallery.get(image["url"]).get_json()
    assert (read["like_count"], read["liked"]) == (1, True)
    for _ in range(2):
        response = unlike(gallery, image)
        assert response.get_json() == {"liked": False, "like_count": 0}
    read = gallery.get(image["url"]).get_json()
    assert (read["like_count"], read["liked"]) == (0, False)


def test_every_reply_with_images_tells_the_count_and_whether_the_caller_likes_it(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    near, far = (
        guarded.upload(headers=ana, is_public="true", degrees=degrees) for degrees in (0, 20)
    )
    like(guarded, far, bea)
    like(guarded, far, ana)
    unlike(guarded, far, ana)
    guarded.client.post(f"{far['url']}/comments", json={"text": "x"}, headers=ana)

    def seen(headers: dict[str, str]) -> list[tuple[int, int, bool]]:
        search = {"vector": [1, 0, 0, 0, 0, 0, 0, 0]}
        found = guarded.client.post("/api/v1/search", json=search, headers=headers).get_json()
        similar = guarded.get(near["similar_url"], headers).get_json()
        every = [
            guarded.get(far["url"], headers).get_json(),
            *guarded.get(IMAGES, headers).get_json()["results"],
            *(result["image"] for result in found["results"]),
            *(result["image"] for result in similar["results"]),
        ]
        assert len([image for image in every if image["id"] == near["id"]]) == 2
        assert not any(image["liked"] for image in every if image["id"] == near["id"])
        return [
            (image["like_count"], image["comment_count"], image["liked"])
            for image in every
            if image["id"] == far["id"]
        ]

    assert seen(bea) == [(1, 1, True)] * 4
    assert seen(ana) == [(1, 1, False)] * 4
    assert seen({}) == [(1, 1, False)] * 4
    changed = guarded.client.patch(far["url"], json={"caption": "x"}, headers=ana).get_json()
    assert (changed["like_count"], changed["comment_count"], changed["liked"]) == (1, 1, False)
    like(guarded, far, ana)
    changed = guarded.client.patch(far["url"], json={"caption": "y"}, headers=ana).get_json()
    assert (changed["like_count"], changed["liked"]) == (2, True)


def test_an_upload_sent_again_with_its_key_tells_what_was_said_of_it_since(
    gallery: Gallery,
) -> None:
    key = {"Idempotency-Key": "a1"}
    image = gallery.upload(seed=5, headers=key)
    like(gallery, image)
    again = gallery.upload(seed=5, headers=key)
    assert (again["id"], again["like_count"], again["liked"]) == (image["id"], 1, True)


@contextmanager
def statements_on_likes(runtime: Runtime) -> Iterator[list[str]]:
    """Collect the statements that read likes."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *more: Any) -> None:
        if "FROM mirada_likes" in statement:
            found.append(statement)

    engine = runtime.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("address", [IMAGES, f"{IMAGES}/1/similar"])
def test_what_the_caller_likes_is_asked_once_for_a_whole_page(
    gallery: Gallery, address: str
) -> None:
    for degrees in range(6):
        like(gallery, gallery.upload(degrees=degrees))
    with statements_on_likes(gallery.runtime) as found:
        page = gallery.get(address).get_json()
    assert len(page["results"]) >= 5
    assert len(found) == 1


def test_an_image_made_private_is_absent_for_its_likers_and_keeps_their_likes(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    image = guarded.upload(headers=ana, is_public="true")
    like(guarded, image, bea)
    guarded.client.patch(image["url"], json={"is_public": False}, headers=ana)
    for response in (like(guarded, image, bea), unlike(guarded, image, bea)):
        assert_problem(response, 404, "not_found")
    assert_problem(likers(guarded, image, bea), 404, "not_found")
    assert guarded.get(image["url"], ana).get_json()["like_count"] == 1
    (liker,) = likers(guarded, image, ana).get_json()["results"]
    assert liker["user"]["username"] == "bea"
    guarded.client.patch(image["url"], json={"is_public": True}, headers=ana)
    assert unlike(guarded, image, bea).get_json()["like_count"] == 0


def test_a_private_image_of_somebody_else_gets_the_reply_of_an_absent_one(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, root = key_of("ana"), key_of("root", is_administrator=True)
    private = guarded.upload(headers=ana)
    absent = {"url": f"{IMAGES}/99"}
    for headers in (key_of("bea"), root):
        said = []
        for image in (private, absent):
            for act in (like, unlike, likers):
                body = assert_problem(act(guarded, image, headers), 404, "not_found")
                body.pop("request_id")
                number = image["url"].rsplit("/", 1)[1]
                body["detail"] = body["detail"].replace(f"image {number}", "image ID")
                said.append(body)
        assert all(body == said[0] for body in said)
    assert guarded.get(private["url"], ana).get_json()["like_count"] == 0


def test_without_a_key_likes_of_public_images_are_read_and_none_is_given(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    public, private = (
        guarded.upload(headers=ana, is_public=is_public) for is_public in ("true", "false")
    )
    like(guarded, public, ana)
    assert likers(guarded, public).get_json()["like_count"] == 1
    assert_problem(likers(guarded, private), 404, "not_found")
    for image in (public, private, {"url": f"{IMAGES}/99"}):
        for act in (like, unlike):
            assert_problem(act(guarded, image), 401, "not_authenticated")
    assert likers(guarded, public).get_json()["like_count"] == 1


def test_who_likes_an_image_comes_page_by_page(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    for name in ("cleo", "bea", "dora"):
        like(guarded, image, key_of(name))
    names: list[str] = []
    address: str | None = f"{image['url']}/likes?limit=2"
    while address:
        response = guarded.get(address)
        page = response.get_json()
        assert page["like_count"] == 3
        assert page["count"] == len(page["results"]) <= 2
        assert ('rel="next"' in response.headers["Link"]) == (page["next"] is not None)
        names += [liker["user"]["username"] for liker in page["results"]]
        address = page["next"]
    assert names == ["cleo", "bea", "dora"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense"])
def test_a_list_of_likes_refuses_what_no_page_gave_out(gallery: Gallery, query: str) -> None:
    image = gallery.upload()
    assert_problem(gallery.get(f"{image['url']}/likes?{query}"), 422, "invalid_input")


@pytest.mark.parametrize(
    "image_id",
    ["0", "99", f"{2**63 - 1}", f"{2**63}", f"{10**30}", "-1", "1.5", "x", "%00", "1%2Fx"],
)
def test_what_is_no_id_of_an_image_is_404(gallery: Gallery, image_id: str) -> None:
    gallery.upload()
    for method, tail in (("put", "like"), ("delete", "like"), ("get", "likes")):
        response = getattr(gallery.client, method)(f"{IMAGES}/{image_id}/{tail}")
        assert_problem(response, 404, "not_found")


def test_a_new_count_is_a_new_tag_and_no_new_version(guarded: Gallery, key_of: KeyOf) -> None:
    ana, bea = key_of("ana"), key_of("bea")
    image = guarded.upload(headers=ana, is_public="true")
    first = guarded.get(image["url"], ana)
    known = {"If-None-Match": first.headers["ETag"]}
    assert guarded.get(image["url"], ana | known).status_code == 304

    like(guarded, image, bea)
    second = guarded.get(image["url"], ana | known)
    assert (second.status_code, second.get_json()["like_count"]) == (200, 1)
    guarded.client.post(f"{image['url']}/comments", json={"text": "x"}, headers=bea)
    known = {"If-None-Match": second.headers["ETag"]}
    third = guarded.get(image["url"], ana | known)
    assert (third.status_code, third.get_json()["comment_count"]) == (200, 1)
    # The same count, but another's like in place of one's own.
    like(guarded, image, ana)
    unlike(guarded, image, bea)
    known = {"If-None-Match": third.headers["ETag"]}
    fourth = guarded.get(image["url"], ana | known)
    assert (fourth.status_code, fourth.get_json()["liked"]) == (200, True)

    assert len({reply.headers["ETag"] for reply in (first, second, third, fourth)}) == 4
    for name in ("version", "updated_at"):
        assert first.get_json()[name] == fourth.get_json()[name]
    changed = guarded.client.patch(
        image["url"], json={"caption": "mine"}, headers=ana | {"If-Match": first.headers["ETag"]}
    )
    assert (changed.status_code, changed.get_json()["version"]) == (200, 2)
    assert changed.headers["ETag"] == guarded.get(image["url"], ana).headers["ETag"]
    late = guarded.client.delete(image["url"], headers=ana | {"If-Match": fourth.headers["ETag"]})
    assert_problem(late, 412, "precondition_failed")


def test_a_deleted_image_takes_its_likes_along(gallery: Gallery) -> None:
    image = gallery.upload()
    like(gallery, image)
    assert gallery.client.delete(f"{image['url']}?now=true").status_code == 204
    assert_problem(like(gallery, image), 404, "not_found")
    with gallery.runtime.reading() as session:
        assert session.execute(select(func.count()).select_from(Like)).scalar_one() == 0


@pytest.mark.mariadb
def test_nobody_meets_an_error_while_the_owner_hides_shows_and_deletes_an_image(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str
) -> None:
    runtime = make_runtime(database_url=migrated_mariadb_url, auth_mode="keys", web_threads=8)
    gallery = Gallery(runtime, create_app(runtime).test_client())
    ana, *others = _keys(runtime, "ana", "bea", "cleo", "dora")
    doomed, kept = (gallery.upload(headers=ana, is_public="true") for _ in range(2))
    statuses: Counter[int] = Counter()
    start = threading.Barrier(len(others) + 1)

    def visit(headers: dict[str, str]) -> None:
        client = gallery.client.application.test_client()
        start.wait(timeout=PATIENCE_S)
        for turn in range(24):
            for image in (doomed, kept):
                address = image["url"]
                calls = [
                    client.put(f"{address}/like", headers=headers),
                    client.post(f"{address}/comments", json={"text": "x"}, headers=headers),
                ]
                if calls[1].status_code == 201 and turn % 2:
                    calls.append(client.delete(calls[1].headers["Location"], headers=headers))
                if turn % 3 == 0:
                    calls.append(client.delete(f"{address}/like", headers=headers))
                statuses.update(call.status_code for call in calls)

    def own() -> None:
        client = gallery.client.application.test_client()
        start.wait(timeout=PATIENCE_S)
        for turn in range(12):
            is_public = {"is_public": turn % 2 == 1}
            assert client.patch(kept["url"], json=is_public, headers=ana).status_code == 200
            if turn == 6:
                gone = client.delete(f"{doomed['url']}?now=true", headers=ana)
                assert gone.status_code == 204

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(visit, headers) for headers in others] + [threads.submit(own)]
        for one in done:
            one.result(timeout=120)

    assert like(gallery, doomed, others[0]).status_code == 404
    assert {200, 201} <= set(statuses) <= {200, 201, 204, 404}
    with runtime.reading() as session:
        image = session.get_one(Image, kept["id"])
        assert session.get(Image, doomed["id"]) is None
        for table, count in ((Like, image.like_count), (Comment, image.comment_count)):
            rows = session.execute(select(table.image_id)).scalars().all()
            assert rows == [kept["id"]] * count


def _keys(runtime: Runtime, *usernames: str) -> list[dict[str, str]]:
    from mirada.people import users
    from mirada.people.keys import issue as issue_key

    with runtime.transaction() as session:
        keys = [str(issue_key(session, users.create_user(session, name)).key) for name in usernames]
    return [{"Authorization": f"Bearer {key}"} for key in keys]
