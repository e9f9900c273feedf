"""Quotas: how much a user may keep, by setting and by an administrator, also for two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testing.gallery import Gallery, as_upload, assert_problem, nothing_kept
from testing.pictures import picture
from tests.webapp.test_http_auth import KeyOf


@pytest.fixture
def boss(key_of: KeyOf) -> dict[str, str]:
    return key_of("boss", is_administrator=True)


def me(gallery: Gallery, headers: dict[str, str]) -> Any:
    return gallery.get("/api/v1/users/me", headers).get_json()


def storage(gallery: Gallery, headers: dict[str, str]) -> Any:
    return gallery.get(f"{me(gallery, headers)['url']}/storage", headers).get_json()


def send(gallery: Gallery, headers: dict[str, str], seed: int = 1) -> Any:
    data = {"file": as_upload(picture(seed))}
    return gallery.client.post("/api/v1/images", data=data, headers=headers)


def give(gallery: Gallery, user: Any, boss: dict[str, str], **quota: Any) -> Any:
    return gallery.client.patch(user["url"], json=quota, headers=boss)


def test_an_upload_beyond_the_quota_of_images_is_refused_and_nothing_is_kept(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    assert give(guarded, me(guarded, ana), boss, quota_images=2).status_code == 200
    first = guarded.upload(headers=ana)
    guarded.upload(headers=ana)
    with nothing_kept(guarded.runtime):
        refused = assert_problem(send(guarded, ana), 403, "quota_reached")
    assert "2 of at most 2 images" in refused["detail"]
    assert storage(guarded, ana)["images"] == 2

    assert guarded.client.delete(f"{first['url']}?now=true", headers=ana).status_code == 204
    assert send(guarded, ana).status_code == 201


def test_an_upload_beyond_the_quota_of_bytes_is_refused(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    kept = guarded.upload(headers=ana)
    give(guarded, me(guarded, ana), boss, quota_bytes=kept["byte_size"])
    refused = assert_problem(send(guarded, ana), 403, "quota_reached")
    assert f"you keep {kept['byte_size']:,} of at most {kept['byte_size']:,}" in refused["detail"]
    told = storage(guarded, ana)
    assert (told["bytes"], told["most_bytes"]) == (kept["byte_size"], kept["byte_size"])
    assert (told["most_images"], told["own_quota_images"]) == (None, None)


def test_a_quota_below_what_is_kept_deletes_nothing_and_others_have_their_own(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana)
    give(guarded, me(guarded, ana), boss, quota_images=0)
    assert guarded.get(image["url"], ana).status_code == 200
    assert_problem(send(guarded, ana), 403, "quota_reached")
    assert send(guarded, ben).status_code == 201
    # None takes that of everybody again: there is none.
    give(guarded, me(guarded, ana), boss, quota_images=None)
    assert send(guarded, ana).status_code == 201


def test_a_repeated_request_is_answered_also_when_the_quota_is_reached(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    once = ana | {"Idempotency-Key": "one"}
    first = send(guarded, once)
    give(guarded, me(guarded, ana), boss, quota_images=1)
    again = send(guarded, once)
    assert (again.status_code, again.get_json()["id"]) == (201, first.get_json()["id"])


def test_two_uploads_at_once_do_not_both_take_the_last_place(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana = key_of("ana")
    give(guarded, me(guarded, ana), boss, quota_images=3)

    def upload(seed: int) -> int:
        with guarded.client.application.test_client() as client:
            data = {"file": as_upload(picture(seed))}
            return client.post("/api/v1/images", data=data, headers=ana).status_code

    with ThreadPoolExecutor(6) as threads:
        codes = sorted(threads.map(upload, range(6)))
    assert codes == [201, 201, 201, 403, 403, 403]
    assert storage(guarded, ana)["images"] == 3


def test_only_administrators_give_quotas_and_only_they_and_the_user_read_the_storage(
    guarded: Gallery, key_of: KeyOf, boss: dict[str, str]
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    hers = me(guarded, ana)
    assert_problem(give(guarded, hers, ana, quota_images=9), 403, "not_allowed")
    assert_problem(guarded.get(f"{hers['url']}/storage", ben), 404, "not_found")
    assert guarded.get(f"{hers['url']}/storage", boss).get_json()["images"] == 0
    for bad in ({"quota_images": -1}, {"quota_bytes": 1.5}, {"quota_images": "2"}, {}):
        assert_problem(give(guarded, hers, boss, **bad), 422, "invalid_input")
