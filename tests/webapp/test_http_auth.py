"""Who is calling, and what they may do: AUTH_MODE=keys and AUTH_MODE=open."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.db.models import ApiKey
from mirada.people import keys, users
from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, assert_problem, on_arc
from testing.pictures import picture

KeyOf = Callable[..., dict[str, str]]


def found_by(gallery: Gallery, headers: dict[str, str] | None = None) -> list[int]:
    response = gallery.client.post(
        "/api/v1/search", json={"vector": on_arc(0)}, headers=headers or {}
    )
    assert response.status_code == 200
    return [result["image"]["id"] for result in response.get_json()["results"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/images"),
        ("patch", "/api/v1/images/1"),
        ("delete", "/api/v1/images/1"),
        ("post", "/api/v1/embeddings"),
        ("post", "/embed-image"),
        ("get", "/api/v1/jobs"),
        ("get", "/api/v1/jobs/1"),
        ("post", "/api/v1/jobs/1/retry"),
        ("get", "/api/v1/indexes"),
        ("post", "/api/v1/indexes/image/rebuild"),
        ("get", "/api/v1/models"),
        ("get", "/api/v1/users/me"),
    ],
)
def test_whoever_has_no_key_may_only_read(guarded: Gallery, method: str, path: str) -> None:
    body: Any = {"json": {"caption": "x"}} if method == "patch" else {}
    response = getattr(guarded.client, method)(path, **body)
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_upload_without_a_key_is_not_even_received(guarded: Gallery) -> None:
    response = guarded.client.post("/api/v1/images", data={"file": as_upload(picture(1))})
    assert response.status_code == 401
    assert not guarded.runtime.settings.image_dir.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer mrd_00000000_" + "x" * 43},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "nonsense"},
        {"X-API-Key": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/api/v1/images", "/static/1.png", "/docs"])
def test_a_wrong_key_is_401_even_where_none_is_needed(
    guarded: Gallery, headers: dict[str, str], path: str
) -> None:
    assert_problem(guarded.client.get(path, headers=headers), 401, "not_authenticated")


def make_key(runtime: Runtime, name: str, **times: datetime) -> str:
    with runtime.transaction() as session:
        new = keys.issue(session, users.create_user(session, name))
        for column, time in times.items():
            setattr(session.get_one(ApiKey, new.row.id), column, time)
    return str(new.key)


@pytest.mark.parametrize("auth_mode", ["keys", "open"])
def test_every_kind_of_wrong_key_is_401_and_says_how_to_send_one(
    make_runtime: Callable[..., Runtime], auth_mode: str
) -> None:
    from testing.application import create_app

    runtime = make_runtime(auth_mode=auth_mode)
    client = create_app(runtime).test_client()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    good, other = make_key(runtime, "ana"), make_key(runtime, "ben")
    forged = good[:-1] + ("x" if good[-1] != "x" else "y")
    wrong = {
        "forged": {"Authorization": f"Bearer {forged}"},
        "truncated": {"Authorization": f"Bearer {good[:-1]}"},
        "its beginning": {"Authorization": f"Bearer {good[:12]}"},
        "lengthened": {"X-API-Key": f"{good}="},
        "expired": {"X-API-Key": make_key(runtime, "cleo", expires_at=hour_ago)},
        "revoked": {"Authorization": f"Bearer {make_key(runtime, 'dora', revoked_at=hour_ago)}"},
        "wrong scheme": {"Authorization": f"Token {good}"},
        "basic": {"Authorization": "Basic " + b64encode(f"ana:{good}".encode()).decode()},
        "broken basic": {"Authorization": "Basic !"},
        "digest": {"Authorization": f'Digest username="ana", nonce="{good}"'},
        "no scheme": {"Authorization": good},
        "scheme alone": {"Authorization": "Bearer "},
        "parameters": {"Authorization": f"Bearer key={good}"},
        "quoted": {"Authorization": f'Bearer "{good}"'},
        "doubled": {"Authorization": f"Bearer {good} {good}"},
        "joined": {"Authorization": f"Bearer {good}, Bearer {good}"},
        "doubled in the other header": {"X-API-Key": f"{good},{good}"},
        "two keys": {"Authorization": f"Bearer {good}", "X-API-Key": other},
        "one good, one wrong": {"Authorization": f"Bearer {good}", "X-API-Key": forged},
        "one wrong, one good": {"Authorization": f"bearer {forged}", "X-API-Key": good},
        "one good, one empty": {"Authorization": f"Bearer {good}", "X-API-Key": ""},
        "100 kB": {"Authorization": "Bearer " + "x" * 100_000},
        "100 kB in the other header": {"X-API-Key": good + "x" * 100_000},
        "not ASCII": {"Authorization": "Bearer mrd_00000000_" + "é" * 43},
        "not ASCII in the other header": {"X-API-Key": "\xff\xfe"},
        "its hash": {"X-API-Key": hashlib.sha256(good.encode()).hexdigest()},
        "SQL": {"X-API-Key": "' OR '1'='1"},
    }
    for name, headers in wrong.items():
        for path in ("/api/v1/images", "/nowhere", "/docs"):
            response = client.get(path, headers=headers)
            assert response.status_code == 401, name
            body = assert_problem(response, 401, "not_authenticated")
            assert good[13:] not in body["detail"], name
            assert response.headers["WWW-Authenticate"] == (
                'Bearer realm="mirada", error="invalid_token"'
            )
    assert client.get("/api/v1/users/me", headers={"X-API-Key": good}).status_code == 200


def test_the_challenge_says_invalid_only_where_a_key_was_sent(guarded: Gallery) -> None:
    response = guarded.get("/api/v1/users/me")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="mirada"'


def test_why_a_key_does_not_count_is_told_to_whoever_has_it(guarded: Gallery) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    for column, said in (("expires_at", "has expired"), ("revoked_at", "was revoked")):
        key = make_key(guarded.runtime, f"ana-{column}", **{column: past})
        response = guarded.get("/api/v1/users/me", headers={"X-API-Key": key})
        assert said in response.get_json()["detail"]


def test_a_revoked_key_is_refused_by_every_process_at_once(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str
) -> None:
    from testing.application import create_app

    one, two = (make_runtime(auth_mode="keys", database_url=migrated_mariadb_url) for _ in range(2))
    key = make_key(one, "ana")
    headers = {"X-API-Key": key}
    clients = [create_app(runtime).test_client() for runtime in (one, two)]
    for client in clients:
        assert client.get("/api/v1/users/me", headers=headers).status_code == 200
    with one.transaction() as session:
        found = keys.key_beginning_with(session, key)
        keys.revoke(session, found.user_id, found.id)
    for client in clients:
        assert client.get("/api/v1/users/me", headers=headers).status_code == 401


def test_a_key_in_its_grace_period_counts(guarded: Gallery) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    key = make_key(guarded.runtime, "ana", revoked_at=later)
    assert guarded.get("/api/v1/users/me", headers={"X-API-Key": key}).status_code == 200


def test_a_proxy_s_own_password_does_not_stand_in_a_key_s_way(guarded: Gallery) -> None:
    headers = {"Authorization": "Basic YTpi", "X-API-Key": make_key(guarded.runtime, "ana")}
    assert guarded.get("/api/v1/users/me", headers=headers).status_code == 200


def test_a_browser_s_preflight_needs_no_key(guarded: Gallery) -> None:
    response = guarded.client.options(
        "/api/v1/images", headers={"Authorization": "Bearer nonsense"}
    )
    assert response.status_code == 200
    assert response.get_data() == b""


def test_when_a_key_was_last_used_is_written(guarded: Gallery) -> None:
    key = make_key(guarded.runtime, "ana")
    before = datetime.now(UTC)
    for _ in range(3):
        guarded.get("/api/v1/users/me", headers={"X-API-Key": key})
    guarded.get("/api/v1/users/me", headers={"X-API-Key": make_key(guarded.runtime, "ben")[:-1]})
    assert guarded.runtime.key_usage.settle()
    with guarded.runtime.reading() as session:
        used = [keys.list_keys(session, user.id) for user in users.list_users(session)]
    (bens,), (anas,) = used
    assert bens.last_used_at is None
    assert anas.last_used_at is not None
    assert anas.last_used_at >= before


def test_both_headers_carry_a_key(guarded: Gallery, key_of: KeyOf) -> None:
    headers = key_of("ana")
    key = headers["Authorization"].removeprefix("Bearer ")
    for sent in (headers, {"X-API-Key": key}, {"Authorization": f"bearer {key}"}):
        me = guarded.get("/api/v1/users/me", headers=sent).get_json()
        assert (me["username"], me["role"]) == ("ana", "user")


def test_open_mode_acts_as_the_local_administrator(client: FlaskClient) -> None:
    me = client.get("/api/v1/users/me").get_json()
    assert (me["username"], me["role"]) == ("local", "administrator")


def test_a_private_image_is_absent_for_everybody_but_its_owner(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, degrees=0)
    absent = guarded.get("/api/v1/images/99", headers=ben).get_json()
    for headers in (ben, {}):
        for address in ("url", "file_url", "thumbnail_url", "similar_url"):
            response = guarded.get(image[address], headers=headers)
            body = assert_problem(response, 404, "not_found")
            assert body["detail"].replace(str(image["id"]), "99") == (
                absent["detail"] if address != "similar_url" else "There is no image 99."
            )
        assert guarded.get(f"/static/{image['id']}.png", headers=headers).status_code == 404
        assert guarded.get("/api/v1/images", headers=headers).get_json()["results"] == []
        assert found_by(guarded, headers) == []
    assert guarded.get(image["url"], headers=ana).status_code == 200
    assert found_by(guarded, ana) == [image["id"]]


def test_a_public_image_is_everybody_s_to_read_and_its_owner_s_to_change(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    image = guarded.upload(headers=ana, degrees=0, is_public="true")
    for headers in ({}, ben):
        body = guarded.get(image["url"], headers=headers).get_json()
        assert body["owner"]["username"] == "ana"
        assert body["filename"] is None
        assert found_by(guarded, headers) == [image["id"]]
    for method, body in (("patch", {"json": {"caption": "mine"}}), ("delete", {})):
        response = getattr(guarded.client, method)(image["url"], headers=ben, **body)
        assert_problem(response, 404, "not_found")


def test_making_an_image_private_takes_it_out_of_others_results_at_once(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, degrees=0, is_public="true")
    assert found_by(guarded) == [image["id"]]
    guarded.client.patch(image["url"], json={"is_public": False}, headers=ana)
    assert found_by(guarded) == []


def test_others_get_a_copy_without_metadata(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    photo = picture(3, "JPEG", (200, 100), orientation=6)
    image = guarded.client.post(
        "/api/v1/images",
        data={"file": as_upload(photo, "a.jpg", "image/jpeg"), "is_public": "true"},
        headers=ana,
    ).get_json()
    assert guarded.get(image["file_url"], headers=ana).get_data() == photo
    for address in (image["file_url"], f"/static/{image['id']}.jpg"):
        copy = guarded.get(address)
        assert copy.mimetype == "image/webp"
        assert b"EXIF" not in copy.get_data()
        assert "sandbox" in copy.headers["Content-Security-Policy"]


def test_only_own_images_on_request(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    theirs = guarded.upload(headers=ana, degrees=0, is_public="true")["id"]
    own = guarded.upload(headers=ben, degrees=5)["id"]

    def listed(query: str, headers: dict[str, str]) -> set[int]:
        page = guarded.get(f"/api/v1/images{query}", headers=headers).get_json()
        return {image["id"] for image in page["results"]}

    assert listed("", ben) == {theirs, own}
    assert listed("?mine=true", ben) == {own}
    assert listed("?mine=true", {}) == set()
    response = guarded.client.post(
        "/api/v1/search", json={"vector": on_arc(0), "mine": True}, headers=ben
    )
    assert [found["image"]["id"] for found in response.get_json()["results"]] == [own]


def test_what_is_for_administrators_is_403_for_users(guarded: Gallery, key_of: KeyOf) -> None:
    response = guarded.client.post("/api/v1/indexes/image/rebuild", headers=key_of("ana"))
    assert_problem(response, 403, "not_allowed")
    boss = key_of("boss", is_administrator=True)
    assert guarded.client.post("/api/v1/indexes/image/rebuild", headers=boss).status_code == 202


def test_whoever_has_no_key_is_told_no_change_numbers(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    image = guarded.upload(headers=ana, degrees=0, is_public="true")
    query = {"vector": on_arc(0)}

    anonymous = guarded.client.post("/api/v1/search", json=query).get_json()
    assert [found["image"]["id"] for found in anonymous["results"]] == [image["id"]]
    assert anonymous["change_seq"] is None
    assert "X-Change-Seq" not in guarded.get(image["url"]).headers
    for given in ("0", "1", "999999999"):
        headers = {"X-Min-Change-Seq": given}
        refused = guarded.client.post("/api/v1/search", json=query, headers=headers)
        assert_problem(refused, 401, "not_authenticated")

    known = guarded.client.post("/api/v1/search", json=query, headers=ana).get_json()
    assert known["change_seq"] == int(guarded.get(image["url"], ana).headers["X-Change-Seq"])


@pytest.mark.parametrize(
    ("settings", "role"),
    [
        ({}, "administrator"),
        ({"host": "::1"}, "administrator"),
        ({"open_as": "user"}, "user"),
        ({"host": "0.0.0.0", "auth_mode": "open"}, "user"),
        ({"host": "gallery.example", "auth_mode": "open"}, "user"),
        ({"host": "0.0.0.0", "auth_mode": "open", "open_as": "administrator"}, "administrator"),
    ],
    ids=str,
)
def test_what_an_open_caller_is(
    make_runtime: Callable[..., Runtime], settings: dict[str, str], role: str
) -> None:
    from testing.application import create_app

    client = create_app(make_runtime(**settings)).test_client()
    me = client.get("/api/v1/users/me").get_json()
    assert (me["username"], me["role"]) == ("local", role)
    statuses = {
        client.get("/api/v1/users").status_code,
        client.get("/metrics").status_code,
        client.post("/api/v1/users", json={"username": "eve"}).status_code,
        client.post("/api/v1/users/me/keys", json={"scopes": ["admin", "read"]}).status_code,
    }
    assert statuses <= ({200, 201} if role == "administrator" else {403})


def test_an_open_user_owns_pictures_and_no_rank_by_a_session(
    make_runtime: Callable[..., Runtime],
) -> None:
    from testing.application import create_app

    client = create_app(make_runtime(open_as="user")).test_client()
    upload = {"file": as_upload(picture(1))}
    assert client.post("/api/v1/images", data=upload).status_code == 201
    assert client.post("/api/v1/session", json={}).get_json()["user"]["role"] == "user"
    assert client.get("/api/v1/users").status_code == 403


@pytest.mark.parametrize("by_session", [False, True])
def test_an_open_user_gets_no_rank_by_a_key(
    make_runtime: Callable[..., Runtime], by_session: bool
) -> None:
    from testing.application import create_app

    runtime = make_runtime(open_as="user")
    client = create_app(runtime).test_client()
    headers = {}
    if by_session:
        opened = client.post("/api/v1/session", json={}).get_json()
        headers["X-CSRF-Token"] = opened["csrf_token"]
    mine = "/api/v1/users/me/keys"
    # The local user has an administrator's rank, which a key without scopes brings along.
    for wanted in (
        {},
        {"scopes": None},
        {"scopes": ["read", "admin"]},
        {"scopes": ["act_for", "read"]},
    ):
        assert_problem(client.post(mine, json=wanted, headers=headers), 403, "scope_missing")
    with runtime.transaction() as session:
        strong = keys.issue(session, users.local_user(session))
    rotated = client.post(f"{mine}/{strong.row.id}/rotate", json={}, headers=headers)
    assert_problem(rotated, 403, "scope_missing")

    made = client.post(mine, json={"scopes": ["read", "write"]}, headers=headers).get_json()
    key = {"Authorization": f"Bearer {made['key']}"}
    assert client.get("/api/v1/users/me", headers=key).get_json()["role"] == "user"
    assert client.get("/api/v1/users", headers=key).status_code == 403
