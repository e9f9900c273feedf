"""The duplicates of an image, as its body counts them for each viewer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Image
from mirada.duplicates import collapsing
from mirada.people import keys, users
from testing.alike import alike
from testing.gallery import Gallery, assert_problem
from workers.runner import run_job


@pytest.fixture
def people(guarded: Gallery) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"nobody": {}}
    with guarded.runtime.transaction() as session:
        for name in ("ana", "ben", "root"):
            user = users.create_user(session, name, is_administrator=name == "root")
            found[name] = {"Authorization": f"Bearer {keys.issue(session, user).key}"}
    return found


def test_an_image_counts_its_duplicates_as_each_viewer_sees_them(
    guarded: Gallery, people: dict[str, dict[str, str]]
) -> None:
    ana, ben = people["ana"], people["ben"]
    shown = {"headers": ana, "is_public": "true"}
    a = guarded.upload(seed=1, degrees=0, **shown)["id"]
    guarded.upload(seed=1, **shown)
    guarded.upload(seed=1, headers=ben)
    near = guarded.upload(seed=2, degrees=5, **shown)["id"]
    private = guarded.upload(seed=3, degrees=50, headers=ana)["id"]
    guarded.upload(seed=4, degrees=10, **shown)
    alike(guarded, a, near, private)

    def counts(who: str, image_id: int = a) -> list[int]:
        reply = guarded.get(f"/api/v1/images/{image_id}", headers=people[who])
        told = reply.get_json()["duplicates"]
        return [told[tier] for tier in ("same_file", "near", "same_subject")]

    assert [counts(who) for who in people] == [[1, 1, 0], [1, 2, 0], [2, 1, 0], [1, 1, 0]]
    # What alone is like it is in the last grouping.
    body = {"kind": "near_duplicates", "threshold": 0.9}
    job = guarded.client.post("/api/v1/clusters", json=body, headers=people["root"]).get_json()
    with guarded.runtime.transaction() as session:
        session.execute(update(Image).values(status="READY"))
    run_job(guarded.runtime, job["id"])
    assert [counts(who) for who in people] == [[1, 1, 1], [1, 2, 1], [2, 1, 1], [1, 1, 1]]
    # The tag is another one as soon as the counts are, and is no other version.
    address = f"/api/v1/images/{a}"
    tag = guarded.get(address, headers=ana).headers["ETag"]
    assert guarded.get(address, headers=ana | {"If-None-Match": tag}).status_code == 304
    guarded.client.post(
        f"/api/v1/duplicates/{a}", json={"tier": "near", "others": "keep"}, headers=ana
    )
    assert counts("ana")[1] == 0
    assert guarded.get(address, headers=ana | {"If-None-Match": tag}).status_code == 200
    fields: dict[str, Any] = {"caption": "A"}
    changed = guarded.client.patch(address, json=fields, headers=ana | {"If-Match": tag})
    assert changed.status_code == 200


def listed(gallery: Gallery, headers: dict[str, str], query: str) -> list[tuple[int, int]]:
    """Return all pages of a list: ids, and how many images each stands for."""
    found: list[tuple[int, int]] = []
    address: str | None = f"/api/v1/images?limit=2&{query}"
    while address:
        reply = gallery.get(address, headers=headers)
        assert reply.status_code == 200, reply.get_json()
        body = reply.get_json()
        found += [(each["id"], each["collapsed_count"]) for each in body["results"]]
        address = body["next"]
    return found


@pytest.mark.parametrize("together", [1, 200])
def test_lists_show_each_group_once_as_each_viewer_sees_it(
    guarded: Gallery,
    people: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    together: int,
) -> None:
    monkeypatch.setattr(collapsing, "READ_TOGETHER", together)
    ana, ben = people["ana"], people["ben"]
    seen = {"headers": ana, "is_public": "true"}
    a = guarded.upload(seed=1, tags="one", **seen)["id"]
    b = guarded.upload(seed=1, **seen)["id"]
    c = guarded.upload(seed=2, **seen)["id"]
    between = guarded.upload(seed=3, headers=ana)["id"]
    d = guarded.upload(seed=4, **seen)["id"]
    e = guarded.upload(seed=5, **seen)["id"]
    f = guarded.upload(seed=1, headers=ben)["id"]
    # Connected over the one in between alone, which others may not see.
    alike(guarded, c, between)
    alike(guarded, between, d)
    alike(guarded, a, c)
    assert listed(guarded, {}, "collapse=same_file") == [(e, 0), (d, 0), (c, 0), (b, 1)]
    assert listed(guarded, ben, "collapse=same_file") == [(f, 2), (e, 0), (d, 0), (c, 0)]
    assert listed(guarded, {}, "collapse=near") == [(e, 0), (d, 0), (c, 2)]
    assert listed(guarded, ana, "collapse=near") == [(e, 0), (d, 4)]
    assert listed(guarded, ben, "collapse=near") == [(f, 3), (e, 0), (d, 0)]
    assert listed(guarded, ana, "collapse=near&sort=oldest") == [(a, 4), (e, 0)]
    guarded.client.put(f"/api/v1/images/{b}/like", headers=ben)
    assert listed(guarded, ana, "collapse=near&sort=likes") == [(b, 4), (e, 0)]
    assert listed(guarded, ana, "collapse=near&sort=largest") == [(e, 0), (d, 4)]
    # A filter leaves of a group what passes it.
    assert listed(guarded, ana, "collapse=near&tag=one") == [(a, 0)]
    assert listed(guarded, ana, "collapse=same_subject") == [(e, 0), (d, 4)]
    for image_id in (a, b):
        body = {"tier": "near", "others": "keep"}
        guarded.client.post(f"/api/v1/duplicates/{image_id}", json=body, headers=ana)
    assert listed(guarded, ana, "collapse=near") == [
        (e, 0),
        (d, 0),
        (between, 0),
        (c, 0),
        (b, 0),
        (a, 0),
    ]
    assert listed(guarded, {}, "collapse=near") == [(e, 0), (d, 0), (c, 2)]


def test_groups_of_one_subject_are_listed_once(
    guarded: Gallery, people: dict[str, dict[str, str]]
) -> None:
    seen = {"headers": people["ana"], "is_public": "true"}
    a, b, c = (guarded.upload(degrees=degrees, **seen)["id"] for degrees in (0, 5, 90))
    body = {"kind": "near_duplicates", "threshold": 0.9}
    job = guarded.client.post("/api/v1/clusters", json=body, headers=people["root"]).get_json()
    run_job(guarded.runtime, job["id"])
    late = guarded.upload(degrees=2, **seen)["id"]
    assert listed(guarded, {}, "collapse=same_subject") == [(late, 0), (c, 0), (b, 1)]
    assert listed(guarded, {}, "collapse=near") == [(late, 0), (c, 0), (b, 0), (a, 0)]
    guarded.client.patch(f"/api/v1/images/{a}", json={"is_public": False}, headers=people["ana"])
    assert listed(guarded, {}, "collapse=same_subject") == [(late, 0), (c, 0), (b, 0)]


@pytest.mark.parametrize("query", ["collapse=all", "collapse=near&trash=true"])
def test_what_is_not_collapsed_is_refused(
    guarded: Gallery, people: dict[str, dict[str, str]], query: str
) -> None:
    reply = guarded.get(f"/api/v1/images?{query}", headers=people["ana"])
    assert "collapse" in assert_problem(reply, 422, "invalid_input")["errors"]
