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
    version = make(gallery, key_of("chief", is_administrator=True))["version"]

    def seen(headers: Headers) -> list[int]:
        body = gallery.get(MAP, headers).get_json()
        found = columns(gallery.get(f"{MAP}/points/{version}", headers).data)["id"]
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
