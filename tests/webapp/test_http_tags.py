"""Tags over HTTP: put on, listed, filtered by, counted, renamed; what is private is never told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mirada.db.image_labels import Judged, JudgedBy, keep_each
from mirada.kernel.tags import MAX_TAGS
from mirada.people import users
from mirada.people.keys import issue
from mirada.pictures import tags
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.statements import statements_of

Headers = dict[str, str]
KeyOf = Callable[..., Headers]
TAGS = "/api/v1/tags"


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def shelf(request: pytest.FixtureRequest, make_runtime: Callable[..., Any]) -> Gallery:
    """Pictures behind AUTH_MODE=keys, on two engines."""
    more: dict[str, Any] = {}
    if request.param == "mariadb":
        more = {"database_url": request.getfixturevalue("migrated_mariadb_url")}
    runtime = make_runtime(auth_mode="keys", **more)
    return Gallery(runtime, create_app(runtime).test_client())


@pytest.fixture
def people(shelf: Gallery) -> dict[str, Headers]:
    keys: dict[str, Headers] = {"nobody": {}}
    with shelf.runtime.transaction() as session:
        for name in ("ana", "ben", "root"):
            user = users.create_user(session, name, is_administrator=name == "root")
            keys[name] = {"Authorization": f"Bearer {issue(session, user).key}"}
    return keys


def put(
    shelf: Gallery, image: dict[str, Any], tags: list[Any], headers: Headers, **more: Any
) -> Any:
    path = f"/api/v1/images/{image['id']}/tags"
    return shelf.client.put(path, json={"tags": tags}, headers=headers | more)


def listed(shelf: Gallery, headers: Headers, query: str = "") -> list[tuple[str, int]]:
    body = shelf.get(f"{TAGS}{query}", headers=headers).get_json()
    return [(each["name"], each["count"]) for each in body["results"]]


def found(shelf: Gallery, headers: Headers, query: str) -> list[int]:
    body = shelf.get(f"/api/v1/images?{query}", headers=headers).get_json()
    return [image["id"] for image in body["results"]]


def test_tags_are_put_on_shown_filtered_by_counted_and_found(
    shelf: Gallery, people: dict[str, Headers]
) -> None:
    ana, ben = people["ana"], people["ben"]
    first = shelf.upload(headers=ana, is_public="true", tags="Blue cat, sky")
    second = shelf.upload(headers=ana, is_public="true")
    assert first["tags"] == ["Blue cat", "sky"]
    assert second["tags"] == []
    reply = put(shelf, second, ["blue  CAT", "crème, brûlée", "🦊", "قطة"], ana)
    # Written as the owner wrote it first.
    assert reply.get_json()["tags"] == ["Blue cat", "crème, brûlée", "🦊", "قطة"]
    assert reply.get_json()["version"] == second["version"] + 1
    assert shelf.get(second["url"], headers=ben).get_json()["tags"] == reply.get_json()["tags"]
    assert found(shelf, ben, "tag=BLUE%20cat") == [second["id"], first["id"]]
    assert found(shelf, ben, "tag=blue%20cat&tag=sky") == [first["id"]]
    assert found(shelf, ben, "tag=nothing") == []
    assert ("Blue cat", 2) in listed(shelf, ben)
    assert listed(shelf, ben, "?prefix=BL") == [("Blue cat", 2)]
    body = shelf.get("/api/v1/images?facets=tag", headers=ben).get_json()
    assert body["facets"]["tag"][0] == {"value": "Blue cat", "count": 2}
    words = {"text": "brulee", "in": "keywords"}
    hits = shelf.client.post("/api/v1/search", json=words, headers=ben).get_json()["results"]
    assert [hit["image"]["id"] for hit in hits] == [second["id"]]
    offered = shelf.get("/api/v1/suggestions?q=blu", headers=ben).get_json()["results"]
    assert {"kind": "tag", "text": "Blue cat", "id": None} in offered
    assert put(shelf, second, [], ana).get_json()["tags"] == []
    assert listed(shelf, ben, "?prefix=bl") == [("Blue cat", 1)]
    hits = shelf.client.post("/api/v1/search", json=words, headers=ben).get_json()["results"]
    assert hits == []


def test_the_list_goes_on_by_name(shelf: Gallery, people: dict[str, Headers]) -> None:
    ana = people["ana"]
    shelf.upload(headers=ana, tags='["a", "b, c", "B-side", "c"]')
    page = shelf.get(f"{TAGS}?limit=2", headers=ana).get_json()
    names = [each["name"] for each in page["results"]]
    while page["next"]:
        page = shelf.get(page["next"], headers=ana).get_json()
        names += [each["name"] for each in page["results"]]
    assert sorted(names) == ["B-side", "a", "b, c", "c"]
    assert names.index("a") == 0
    for cursor in ("x", "YWZ0ZXI6", "YWZ0ZXI6_w"):
        reply = shelf.get(f"{TAGS}?cursor={cursor}", headers=ana)
        assert_problem(reply, 422, "invalid_input")


def test_tags_of_many_images_are_read_by_their_index(
    shelf: Gallery, people: dict[str, Headers], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.upload(headers=people["ana"], tags="b, a")
    engine = shelf.runtime.database.engine

    def grouped(query: str) -> str:
        with statements_of(engine) as sent:
            assert listed(shelf, people["ana"], query) == [("a", 1), ("b", 1)]
        return next(each for each in sent if "GROUP BY" in each)

    on_mariadb = engine.dialect.name in ("mysql", "mariadb")
    # It groups all images otherwise, where they are many; few own ones it had better begin with.
    assert ("STRAIGHT_JOIN" in grouped("")) is on_mariadb
    assert "STRAIGHT_JOIN" not in grouped("?mine=true")
    monkeypatch.setattr(tags, "FEW_IMAGES", 0)
    assert ("STRAIGHT_JOIN" in grouped("?mine=true")) is on_mariadb


def test_nobody_learns_of_tags_on_what_they_do_not_see(
    shelf: Gallery, people: dict[str, Headers]
) -> None:
    ana, ben = people["ana"], people["ben"]
    private = shelf.upload(headers=ana, tags="Secret Place, Beach", degrees=1)
    shelf.upload(headers=ben, is_public="true", tags="beach", degrees=2)
    for who in ("ben", "nobody", "root"):
        headers = people[who]
        # Neither that there is another, nor how its owner writes it.
        assert listed(shelf, headers) == [("beach", 1)]
        assert found(shelf, headers, "tag=secret%20place") == []
        facets = shelf.get("/api/v1/images?facets=tag", headers=headers).get_json()["facets"]
        assert facets["tag"] == [{"value": "beach", "count": 1}]
        offered = shelf.get("/api/v1/suggestions?q=secr", headers=headers).get_json()
        assert offered["results"] == []
        words = {"text": "secret place", "in": "keywords"}
        hits = shelf.client.post("/api/v1/search", json=words, headers=headers).get_json()
        assert hits["results"] == []
    for headers in (ben, people["root"]):
        assert_problem(put(shelf, private, ["x"], headers), 404, "not_found")
        for name in ("Secret Place", "nothing"):
            reply = shelf.client.patch(f"{TAGS}/{name}", json={"name": "x"}, headers=headers)
            assert_problem(reply, 404, "not_found")
    assert shelf.get(private["url"], headers=ana).get_json()["tags"] == ["Secret Place", "Beach"]


def test_a_tag_is_renamed_on_ones_own_images_and_merged(
    shelf: Gallery, people: dict[str, Headers]
) -> None:
    ana, ben, root = people["ana"], people["ben"], people["root"]
    one = shelf.upload(headers=ana, tags="kat, sky")
    both = shelf.upload(headers=ana, tags="sun, Cat, kat", is_public="true")
    others = shelf.upload(headers=ben, tags="kat", is_public="true")
    reply = shelf.client.patch(f"{TAGS}/KAT", json={"name": "cat"}, headers=ana)
    assert reply.get_json() == {"name": "cat", "count": 2, "is_merged": True}

    def tags(image: dict[str, Any], headers: Headers) -> list[str]:
        return list(shelf.get(image["url"], headers=headers).get_json()["tags"])

    assert tags(one, ana) == ["cat", "sky"]
    assert tags(both, ana) == ["sun", "cat"]
    assert tags(others, ben) == ["kat"]
    # Capitals alone.
    reply = shelf.client.patch(f"{TAGS}/cat", json={"name": "CAT"}, headers=ana)
    assert reply.get_json() == {"name": "CAT", "count": 2, "is_merged": False}
    assert listed(shelf, ana, "?mine=true") == [("CAT", 2), ("sky", 1), ("sun", 1)]
    # An administrator's renaming is of everybody's public images.
    reply = shelf.client.patch(f"{TAGS}/kat", json={"name": "a/b"}, headers=root)
    assert reply.get_json()["count"] == 1
    assert tags(others, ben) == ["a/b"]
    assert shelf.client.patch(f"{TAGS}/a/b", json={"name": "ab"}, headers=ben).status_code == 200
    assert tags(others, ben) == ["ab"]


def test_two_who_edit_at_once_do_not_overwrite_each_other(
    shelf: Gallery, people: dict[str, Headers]
) -> None:
    ana = people["ana"]
    image = shelf.upload(headers=ana, tags="sky")
    etag = shelf.get(image["url"], headers=ana).headers["ETag"]
    reply = put(shelf, image, ["sky", "sea"], ana, **{"If-Match": etag})
    assert reply.status_code == 200
    assert int(reply.headers["X-Change-Seq"]) > 0
    assert_problem(
        put(shelf, image, ["sky"], ana, **{"If-Match": etag}), 412, "precondition_failed"
    )
    assert put(shelf, image, ["sky"], ana, **{"If-Match": reply.headers["ETag"]}).status_code == 200
    # What is there already is no change.
    again = put(shelf, image, ["sky"], ana)
    assert again.get_json()["version"] == image["version"] + 2


@pytest.mark.parametrize(
    "wrong",
    [
        [f"tag {number}" for number in range(MAX_TAGS + 1)],
        [f"tag {number}" for number in range(10_000)],
        ["x" * 101],
        ["x" * 10_000],
        ["İ" * 100],
        [""],
        ["  "],
        ["a\u202eb"],
        ["a\x00b"],
        ["\ud800"],
        [7],
        [None],
        "cat",
        None,
        {"a": 1},
    ],
)
def test_what_is_no_tag_is_refused_and_says_why(
    guarded: Gallery, key_of: KeyOf, wrong: Any
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, tags="sky")
    reply = put(guarded, image, wrong, ana)
    assert list(assert_problem(reply, 422, "invalid_input")["errors"]) == ["tags"]
    assert guarded.get(image["url"], headers=ana).get_json()["tags"] == ["sky"]


def test_markup_commas_and_a_full_set_are_kept_as_they_are(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana)
    odd = ["<b>&amp;</b>", "a,b", '"', "'; DROP TABLE x", "%", "_", "👩‍👩‍👧", "x" * 100]
    full = odd + [f"tag {number}" for number in range(MAX_TAGS - len(odd))]
    assert put(guarded, image, full, ana).get_json()["tags"] == full
    assert listed(guarded, ana, "?prefix=%25") == [("%", 1)]
    assert listed(guarded, ana, "?prefix=_") == [("_", 1)]
    assert found(guarded, ana, "tag=a,b&tag=%25") == [image["id"]]


def test_images_are_filtered_by_what_the_model_called_them(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    images = [guarded.upload(headers=ana, degrees=each, is_public="true") for each in (1, 2)]
    with guarded.runtime.transaction() as session:
        keep_each(
            session,
            JudgedBy(guarded.space_id, "test"),
            {
                images[0]["id"]: Judged("cat", 0.9, np.zeros(1), False, None),
                images[1]["id"]: Judged("dog", 0.9, np.zeros(1), False, None),
            },
        )
    for name in ("cat", "gato"):
        assert found(guarded, {}, f"shows={name}") == [images[0]["id"]]
    assert found(guarded, {}, "shows=cat&shows=dog") == [images[1]["id"], images[0]["id"]]
    facets = guarded.get("/api/v1/images?facets=shows").get_json()["facets"]["shows"]
    assert facets == [{"value": "cat", "count": 1}, {"value": "dog", "count": 1}]
