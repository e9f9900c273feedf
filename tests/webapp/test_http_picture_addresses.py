"""Pictures at addresses of their own: kept by everybody while public, gone when that changes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image as Pillow
from sqlalchemy import update

from mirada.db.models import Content, Image
from mirada.departures.ending import end_user
from mirada.jobs import sweep
from mirada.kernel import picture_tokens
from mirada.people.keys import issue as issue_key
from mirada.people.users import create_user
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture
from tests.webapp.test_http_auth import KeyOf
from workers.runner import run_job
from workers.sweeper import Sweeper

LINKS = "/api/v1/picture-links"
SIDES = ("320", "640", "1280")
Way = Callable[[Gallery, dict[str, Any]], dict[str, Any] | None]


def test_a_public_picture_is_anybody_s_to_keep_and_asks_for_no_key(
    guarded: Gallery, key_of: KeyOf, monkeypatch: Any
) -> None:
    ana = key_of("ana")
    sent = guarded.client.post(
        "/api/v1/images",
        data={"file": as_upload(picture(1, size=(1_400, 700))), "is_public": "true"},
        headers=ana,
    )
    src = sent.get_json()["picture"]["src"]
    assert list(src) == list(SIDES)
    from webapp.callers import auth

    monkeypatch.setattr(auth, "_identify", None)
    for side, address in src.items():
        for headers in ({}, ana, {"Authorization": "Bearer mrd_wrong"}, {"Cookie": "a=b"}):
            reply = guarded.get(address, headers)
            assert reply.status_code == 200
            assert reply.headers["Cache-Control"] == "public, max-age=86400, immutable"
            assert (reply.mimetype, reply.headers.get("Vary")) == ("image/webp", None)
            assert "Set-Cookie" not in reply.headers
            assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert max(Pillow.open(io.BytesIO(reply.get_data())).size) == int(side)
        again = guarded.get(address, {"If-None-Match": reply.headers["ETag"]})
        assert (again.status_code, again.headers["Cache-Control"]) == (
            304,
            "public, max-age=86400, immutable",
        )


def test_a_private_picture_is_its_owner_s_and_kept_by_their_browser_alone(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben, boss = key_of("ana"), key_of("ben"), key_of("boss", is_administrator=True)
    address = guarded.upload(headers=ana)["picture"]["src"]["320"]

    mine = guarded.get(address, ana)
    assert (mine.status_code, mine.headers["Cache-Control"]) == (200, "private, max-age=86400")
    assert {"Authorization", "Cookie"} <= set(mine.vary)
    assert mine.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    for headers in ({}, ben, boss):
        refused = guarded.get(address, headers)
        assert_problem(refused, 404, "not_found")
        assert refused.headers["Cache-Control"] == "no-store"
    assert_problem(
        guarded.get(address, {"Authorization": "Bearer mrd_x"}), 401, "not_authenticated"
    )
    writer = guarded.client.post(
        "/api/v1/users/me/keys", json={"scopes": ["write"]}, headers=ana
    ).get_json()
    only_writes = {"Authorization": f"Bearer {writer['key']}"}
    assert guarded.get(address, only_writes).status_code == 403


@pytest.mark.parametrize("odd", ["0" * 32, "x", "A" * 32, "0" * 31])
def test_an_address_that_nobody_gave_is_absent(guarded: Gallery, odd: str) -> None:
    for side in (320, 100):
        reply = guarded.get(f"/i/{odd}/{side}.webp")
        assert_problem(reply, 404, "not_found")
        assert reply.headers["Cache-Control"] == "no-store"


def test_a_token_counts_in_its_own_spelling_alone(guarded: Gallery, key_of: KeyOf) -> None:
    address = guarded.upload(headers=key_of("ana"), is_public="true")["picture"]["src"]["320"]
    token = address.split("/")[2]
    assert token != token.upper()
    assert guarded.get(address).status_code == 200
    assert guarded.get(address.replace(token, token.upper())).status_code == 404


def test_a_signed_address_shows_a_private_picture_until_its_end(
    guarded: Gallery, key_of: KeyOf, monkeypatch: Any
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    secret, shown = guarded.upload(headers=ana), guarded.upload(headers=ben, is_public="true")
    hidden = guarded.upload(headers=ben)
    asked = {"image_ids": [shown["id"], secret["id"], hidden["id"], 10**6, secret["id"]]}
    reply = guarded.client.post(LINKS, json=asked | {"ttl_s": 600}, headers=ana)
    assert reply.status_code == 200
    body = reply.get_json()
    assert [each["image_id"] for each in body["results"]] == [shown["id"], secret["id"]]
    public, private = (each["src"] for each in body["results"])
    assert public == shown["picture"]["src"]

    sent = guarded.get(private["320"])
    assert sent.status_code == 200
    kept = sent.headers["Cache-Control"]
    assert kept.startswith("private, max-age=")
    assert 590 <= int(kept.rpartition("=")[2]) <= 750
    assert sent.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in sent.headers
    # Made again soon it is the same, so that browsers keep the picture.
    again = guarded.client.post(LINKS, json=asked | {"ttl_s": 600}, headers=ana).get_json()
    assert again["results"][1]["src"]["320"].split("?")[0] == private["320"].split("?")[0]

    query = parse_qs(urlsplit(private["320"]).query)
    until, signature = int(query["until"][0]), query["signature"][0]
    path = private["320"].split("?")[0]
    for odd in (
        f"until={until + 1}&signature={signature}",
        f"until={until}&signature={signature[::-1]}",
        f"until={until}",
        f"signature={signature}",
    ):
        assert_problem(guarded.get(f"{path}?{odd}"), 404, "not_found")
    monkeypatch.setattr("mirada.pictures.addresses.time.time", lambda: float(until))
    assert guarded.get(private["320"]).status_code == 404


def test_links_need_a_key_that_may_read(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana)
    assert guarded.client.post(LINKS, json={"image_ids": [image["id"]]}).status_code == 401
    made = guarded.client.post("/api/v1/users/me/keys", json={"scopes": ["read"]}, headers=ana)
    reader = {"Authorization": f"Bearer {made.get_json()['key']}"}
    for body, status in (
        ({"image_ids": [image["id"]]}, 200),
        ({"image_ids": []}, 422),
        ({"image_ids": [1] * 501}, 422),
        ({"image_ids": [1], "ttl_s": 59}, 422),
        ({"image_ids": [1], "ttl_s": 604_801}, 422),
    ):
        assert guarded.client.post(LINKS, json=body, headers=reader).status_code == status


def test_the_end_of_a_link_comes_in_steps() -> None:
    ends = {picture_tokens.end_of_link(now, 600) for now in range(1_000_000, 1_000_150)}
    assert len(ends) <= 2
    for now in range(1_000_000, 1_000_700):
        assert 600 < picture_tokens.end_of_link(now, 600) - now <= 750


def _patched(who: str, **fields: Any) -> Way:
    def change(guarded: Gallery, image: dict[str, Any]) -> dict[str, Any] | None:
        reply = guarded.client.patch(image["url"], json=fields, headers=image[who])
        assert reply.status_code == 200, reply.get_json()
        return dict(guarded.get(image["url"], image["ana"]).get_json())

    return change


def _deleted(guarded: Gallery, image: dict[str, Any]) -> None:
    assert guarded.client.delete(image["url"], headers=image["ana"]).status_code == 204


def _ended(heir: bool) -> Way:
    def end(guarded: Gallery, image: dict[str, Any]) -> dict[str, Any] | None:
        runtime = guarded.runtime
        with runtime.transaction() as session:
            heir_id = image["cleo_id"] if heir else None
            job = end_user(session, image["owner"]["id"], heir_id=heir_id)
        # At once, and not when the job has cleared their images away.
        assert guarded.get(image["picture"]["src"]["320"]).status_code == 404
        run_job(runtime, job.id)
        with runtime.reading() as session:
            assert job.id not in {each.id for each in sweep.due_jobs(session)}
        if not heir:
            return None
        return dict(guarded.get(image["url"], image["cleo"]).get_json())

    return end


WAYS: dict[str, Way] = {
    "made private": _patched("ana", is_public=False),
    "hidden by an administrator": _patched("boss", is_public=False),
    "deleted": _deleted,
    "its owner ended": _ended(heir=False),
    "handed over": _ended(heir=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_change_of_who_may_see_it_ends_the_address(
    guarded: Gallery, key_of: KeyOf, way: str
) -> None:
    ana, boss = key_of("ana"), key_of("boss", is_administrator=True)
    with guarded.runtime.transaction() as session:
        heir = create_user(session, "cleo")
        cleo = {"Authorization": f"Bearer {issue_key(session, heir).key}"}
        heir_id = heir.id
    image = guarded.upload(headers=ana, is_public="true")
    before = image["picture"]["src"]
    assert guarded.get(before["320"]).status_code == 200
    link = guarded.client.post(LINKS, json={"image_ids": [image["id"]]}, headers=boss).get_json()
    assert link["results"][0]["src"] == before

    after = WAYS[way](guarded, image | {"ana": ana, "boss": boss, "cleo": cleo, "cleo_id": heir_id})

    for address in before.values():
        for headers in ({}, boss, cleo):
            assert_problem(guarded.get(address, headers), 404, "not_found")
    if after is not None:
        now = after["picture"]["src"]
        assert set(now.values()).isdisjoint(before.values())
        owner = cleo if way == "handed over" else ana
        assert guarded.get(now["320"], owner).status_code == 200


def test_a_private_picture_s_signed_address_ends_when_it_is_shown_and_never_comes_back(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, boss = key_of("ana"), key_of("boss", is_administrator=True)
    image = guarded.upload(headers=ana)
    asked = {"image_ids": [image["id"]]}
    made = guarded.client.post(LINKS, json=asked, headers=ana).get_json()
    seen = {made["results"][0]["src"]["320"].split("?")[0]}
    for who, is_public in ((ana, True), (boss, False), (boss, True), (ana, False), (ana, True)):
        fields = {"is_public": is_public}
        assert guarded.client.patch(image["url"], json=fields, headers=who).status_code == 200
        src = guarded.get(image["url"], ana).get_json()["picture"]["src"]["320"]
        assert src not in seen
        for old in (*seen, made["results"][0]["src"]["320"]):
            assert guarded.get(old, ana).status_code == 404
        seen.add(src)


def test_other_changes_keep_the_address(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, is_public="true")
    fields = {"caption": "a cat", "is_public": True}
    changed = guarded.client.patch(image["url"], json=fields, headers=ana)
    assert changed.get_json()["picture"]["src"] == image["picture"]["src"]


def test_an_image_without_a_token_says_so_until_the_next_look(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana)
    with guarded.runtime.transaction() as session:
        # As a process of the version before inserts it, while an upgrade goes on.
        session.get_one(Image, image["id"]).picture_token = None
    assert guarded.get(image["url"], ana).get_json()["picture"]["src"] is None
    asked = {"image_ids": [image["id"]]}
    assert guarded.client.post(LINKS, json=asked, headers=ana).get_json()["results"] == []
    Sweeper(guarded.runtime).sweep()
    assert list(guarded.get(image["url"], ana).get_json()["picture"]["src"]) == list(SIDES)
    assert len(guarded.client.post(LINKS, json=asked, headers=ana).get_json()["results"]) == 1


def test_an_open_server_shows_private_pictures_to_its_own_pages_alone(gallery: Gallery) -> None:
    address = gallery.upload()["picture"]["src"]["320"]
    assert gallery.get(address).status_code == 200
    assert gallery.get(address, {"Host": "evil.example"}).status_code == 403


LOOK = {"has_alpha": True, "placeholder": "IAgCBw==", "colour": "#dc2f45", "lightness": 0.62}


def test_a_look_is_told_once_the_image_is_ready_and_changes_its_tag(gallery: Gallery) -> None:
    unseen = dict.fromkeys(LOOK)
    image = gallery.upload()

    def told() -> tuple[dict[str, Any], dict[str, Any], str]:
        alone = gallery.get(image["url"])
        (listed,) = gallery.get("/api/v1/images").get_json()["results"]
        pictures = [dict(body["picture"]) for body in (alone.get_json(), listed)]
        assert pictures[0].pop("src") == pictures[1].pop("src") == image["picture"]["src"]
        return pictures[0], pictures[1], alone.headers["ETag"]

    with gallery.runtime.transaction() as session:
        # As after an upload of the same bytes by somebody else.
        session.execute(update(Content).values(**LOOK))
    assert told()[:2] == (unseen, unseen)
    with gallery.runtime.transaction() as session:
        session.execute(update(Content).values(**unseen))
    gallery.place(image["id"], 0)
    ready = told()
    assert ready[:2] == (unseen, unseen)
    with gallery.runtime.transaction() as session:
        session.execute(update(Content).values(**LOOK))
    seen = told()
    assert seen[:2] == (LOOK, LOOK)
    # The reply is another one now, and the owner's version is not.
    assert seen[2] != ready[2]
    changed = gallery.client.patch(
        image["url"], json={"caption": "mine"}, headers={"If-Match": ready[2]}
    )
    assert changed.status_code == 200
