"""The map over HTTP: made for an administrator, seen by each as they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mirada.adapters.projection.components import ComponentsProjection
from testing.gallery import Gallery, assert_problem
from workers.runner import run_job

MAP = "/api/v1/map"
Headers = dict[str, str]
KeyOf = Callable[..., Headers]


def make(gallery: Gallery, headers: Headers | None = None) -> dict[str, Any]:
    """Make the map and return what the caller reads of it."""
    gallery.runtime.remember("projection", ComponentsProjection())
    response = gallery.client.post(MAP, headers=headers or {})
    assert response.status_code == 202, response.get_json()
    assert run_job(gallery.runtime, response.get_json()["id"])
    return gallery.get(MAP, headers).get_json()  # type: ignore[no-any-return]


def columns(packed: bytes) -> dict[str, list[int]]:
    """Return the columns of the reply by name, as a client reads them."""
    count, rest = divmod(len(packed), 13)
    assert rest == 0
    found, at = {}, 0
    for name, kind in (("id", "<u8"), ("x", "<u2"), ("y", "<u2"), ("group", "u1")):
        column = np.frombuffer(packed, kind, count, at)
        found[name] = column.tolist()
        at += column.nbytes
    return found


def test_the_map_tells_its_version_groups_and_points(gallery: Gallery) -> None:
    ids = [gallery.upload(degrees=float(degrees))["id"] for degrees in (0, 2, 4, 6, 80, 82, 84, 86)]
    before = gallery.get(MAP).get_json()
    assert (before["version"], before["points_url"], before["groups"]) == (None, None, [])
    assert (before["count"], before["stale_count"], before["method"]) == (0, 8, None)

    body = make(gallery)

    assert (body["count"], body["stale_count"], body["method"]) == (8, 0, "components")
    assert body["computed_at"] is not None
    assert sorted(group["size"] for group in body["groups"]) == [4, 4]
    found = columns(gallery.get(body["points_url"]).data)
    assert found["id"] == ids
    numbers = {group["number"]: group for group in body["groups"]}
    assert set(found["group"]) == set(numbers)
    for number, group in numbers.items():
        own = [x for x, one in zip(found["x"], found["group"], strict=True) if one == number]
        assert group["x"] == pytest.approx(sum(own) / len(own))
        members = gallery.get(group["images_url"]).get_json()
        assert members["size"] == group["size"]
        # The same groups narrow lists and searches.
        listed = gallery.get(f"/api/v1/images?group={group['id']}").get_json()
        assert listed["count"] == group["size"]


def test_points_are_asked_for_once_and_an_old_version_is_gone(gallery: Gallery) -> None:
    for degrees in (0, 40, 80):
        gallery.upload(degrees=float(degrees))
    body = make(gallery)
    reply = gallery.get(body["points_url"])
    assert "private" in reply.headers["Cache-Control"]
    again = gallery.get(body["points_url"], {"If-None-Match": reply.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert make(gallery)["version"] != body["version"]
    assert_problem(gallery.get(body["points_url"]), 404, "not_found")


def test_each_sees_on_the_map_what_they_may(guarded: Gallery, key_of: KeyOf) -> None:
    gallery = guarded
    one, other = key_of("one"), key_of("other")
    own = gallery.upload(headers=one, degrees=0.0)["id"]
    public = gallery.upload(headers=one, degrees=40.0, is_public="true")["id"]
    theirs = gallery.upload(headers=other, degrees=80.0)["id"]
    make(gallery, key_of("chief", is_administrator=True))

    def seen(headers: Headers) -> list[int]:
        body = gallery.get(MAP, headers).get_json()
        found = columns(gallery.get(body["points_url"], headers).data)["id"]
        assert body["count"] == len(found) == sum(group["size"] for group in body["groups"])
        shown = [each["image"]["id"] for group in body["groups"] for each in group["examples"]]
        assert sorted(shown) == found
        return found

    assert (seen(one), seen(other)) == ([own, public], [public, theirs])
    gallery.client.patch(f"/api/v1/images/{public}", json={"is_public": False}, headers=one)
    assert (seen(one), seen(other)) == ([own, public], [theirs])
    # A later copy of a picture on the map would tell of the other one.
    copy = gallery.upload(headers=other, degrees=0.0)["id"]
    assert copy not in seen(other)
    assert_problem(gallery.client.post(MAP, headers=other), 403, "not_allowed")


@pytest.mark.parametrize("way", ["private", "deleted", "hidden"])
def test_what_somebody_may_see_no_more_is_gone_from_a_map_that_was_looked_at(
    guarded: Gallery, key_of: KeyOf, way: str
) -> None:
    """What a process remembers of a viewer's map ends with the change."""
    gallery = guarded
    one, other, chief = key_of("one"), key_of("other"), key_of("chief", is_administrator=True)
    ids = [
        gallery.upload(headers=one, degrees=float(at), is_public="true")["id"] for at in (0, 40, 80)
    ]
    body = make(gallery, chief)

    def seen() -> tuple[list[int], str, str]:
        reply = gallery.get(body["points_url"], other)
        found = columns(reply.data)
        place = f"{found['x'][0]},{found['y'][0]},{found['x'][0]},{found['y'][0]}"
        listed = gallery.get(f"/api/v1/images?area={place}", other).get_json()
        assert [each["id"] for each in listed["results"]] == found["id"][:1]
        return found["id"], reply.headers["ETag"], place

    before, tag, place = seen()
    assert before == ids
    match way:
        case "private":
            gone = gallery.client.patch(
                f"/api/v1/images/{ids[0]}", json={"is_public": False}, headers=one
            )
        case "hidden":
            gone = gallery.client.patch(
                f"/api/v1/images/{ids[0]}", json={"is_public": False}, headers=chief
            )
        case _:
            gone = gallery.client.delete(f"/api/v1/images/{ids[0]}", headers=one)
    assert gone.status_code in (200, 204)
    after, newer, _ = seen()
    assert (after, newer != tag) == (ids[1:], True)
    assert gallery.get(f"/api/v1/images?area={place}", other).get_json()["results"] == []
    told = gallery.get(MAP, other).get_json()
    numbers = sorted(group["number"] for group in told["groups"])
    assert (told["count"], numbers) == (2, list(range(len(numbers))))


def test_an_area_is_a_filter_and_a_wrong_one_is_told(gallery: Gallery) -> None:
    for degrees in (0, 40, 80):
        gallery.upload(degrees=float(degrees))
    assert gallery.get("/api/v1/images?area=0,0,65535,65535").get_json()["count"] == 0
    make(gallery)
    assert gallery.get("/api/v1/images?area=0,0,65535,65535").get_json()["count"] == 3
    for wrong in ("1,2,3", "5,0,4,9", "0,0,0,65536", "a,b,c,d", "-1,0,3,3"):
        reply = gallery.get(f"/api/v1/images?area={wrong}")
        assert reply.status_code == 422
        assert "LEFT,TOP,RIGHT,BOTTOM" in str(reply.get_json()["errors"]["area"])
