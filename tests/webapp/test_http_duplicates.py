"""The duplicates of an image, as its body counts them for each viewer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Image
from mirada.people import keys, users
from testing.alike import alike
from testing.gallery import Gallery
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
