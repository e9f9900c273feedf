"""Users and keys over HTTP: who may see and make what, and what bad input gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirada.people import keys, users
from mirada.people.access import checked_scopes
from testing.gallery import Gallery, assert_problem

KeyOf = Callable[..., dict[str, str]]
MINE = "/api/v1/users/me/keys"


@pytest.fixture
def limited_key(guarded: Gallery) -> KeyOf:
    """Return a function from a user's name, scopes and life to the headers of a further key."""

    def make(name: str, *scopes: str, hours: int | None = None) -> dict[str, str]:
        with guarded.runtime.transaction() as session:
            new = keys.issue(
                session,
                users.user_named(session, name),
                scopes=checked_scopes(scopes or None),
                expires_at=None if hours is None else in_hours(hours),
            )
        return {"Authorization": f"Bearer {new.key}"}

    return make


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def make(
    gallery: Gallery, headers: dict[str, str], path: str = MINE, **fields: Any
) -> dict[str, Any]:
    response = gallery.client.post(path, json=fields, headers=headers)
    assert response.status_code == 201, response.get_json()
    body: dict[str, Any] = response.get_json()
    return body


def calls_as(gallery: Gallery, key: str) -> int:
    return int(gallery.get("/api/v1/users/me", headers={"X-API-Key": key}).status_code)


# Users.


def test_an_administrator_creates_a_user_with_a_first_key(guarded: Gallery, key_of: KeyOf) -> None:
    root = key_of("root", is_administrator=True)
    response = guarded.client.post(
        "/api/v1/users",
        json={
            "username": "ana",
            "key": {"name": "shop", "scopes": ["read"], "expires_at": in_hours(5).isoformat()},
        },
        headers=root,
    )
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    body = response.get_json()
    assert (body["username"], body["role"]) == ("ana", "user")
    key = body["key"]
    assert (key["name"], key["scopes"], key["state"]) == ("shop", ["read"], "in_force")
    me = guarded.get("/api/v1/users/me", headers={"X-API-Key": key["key"]}).get_json()
    assert me["username"] == "ana"

    read = guarded.get(response.headers["Location"], headers=root).get_json()
    assert read == {
        name: body[name] for name in ("id", "username", "role", "external_id", "created_at", "url")
    }
    listed = guarded.get(key["url"], headers=root)
    assert listed.status_code == 200
    assert "key" not in listed.get_json()
    assert key["key"][13:] not in listed.get_data(as_text=True)


def test_users_are_listed_by_pages_to_administrators(guarded: Gallery, key_of: KeyOf) -> None:
    root = key_of("root", is_administrator=True)
    for name in ("ana", "ben", "cleo"):
        key_of(name)
    first = guarded.get("/api/v1/users?limit=3", headers=root)
    assert 'rel="next"' in first.headers["Link"]
    second = guarded.get(first.get_json()["next"], headers=root).get_json()
    names = [user["username"] for user in first.get_json()["results"] + second["results"]]
    assert names == ["cleo", "ben", "ana", "root"]
    assert second["next"] is None
    assert_problem(guarded.get("/api/v1/users?cursor=x", headers=root), 422, "invalid_input")


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_list_of_users_is_no_user_s_business(
    guarded: Gallery, key_of: KeyOf, method: str
) -> None:
    body = {"json": {"username": "ben"}} if method == "post" else {}
    call = getattr(guarded.client, method)
    assert_problem(call("/api/v1/users", **body), 401, "not_authenticated")
    assert_problem(call("/api/v1/users", headers=key_of("ana"), **body), 403, "not_allowed")
    with guarded.runtime.reading() as session:
        assert [user.username for user in users.list_users(session)] == ["ana"]


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({}, "username"),
        ({"username": None}, "username"),
        ({"username": 7}, "username"),
        ({"username": ""}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": "a\x00b"}, "username"),
        ({"username": "a\u202eb"}, "username"),
        ({"username": "\ud800"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": "ana", "role": "root"}, "role"),
        ({"username": "ana", "password": "x"}, "password"),
        ({"username": "ana", "key": None}, "key"),
        ({"username": "ana", "key": {"scopes": ["all"]}}, "key"),
        ({"username": "ana", "key": {"scopes": ["admin", "read"]}}, "scopes"),
        ({"username": "ana", "key": {"expires_at": "2020-01-01T00:00:00Z"}}, "expires_at"),
    ],
    ids=str,
)
def test_a_user_that_makes_no_sense_is_not_created(
    guarded: Gallery, key_of: KeyOf, fields: dict[str, Any], at_fault: str
) -> None:
    root = key_of("root", is_administrator=True)
    response = guarded.client.post("/api/v1/users", json=fields, headers=root)
    assert list(assert_problem(response, 422, "invalid_input")["errors"]) == [at_fault]
    with guarded.runtime.reading() as session:
        assert len(users.list_users(session)) == 1


def test_a_taken_name_is_409_whatever_its_case(guarded: Gallery, key_of: KeyOf) -> None:
    root = key_of("root", is_administrator=True)
    for name in ("root", "ROOT", "local", "Local"):
        response = guarded.client.post("/api/v1/users", json={"username": name}, headers=root)
        assert_problem(response, 409, "conflict")


def test_a_user_is_created_once_per_idempotency_key(guarded: Gallery, key_of: KeyOf) -> None:
    headers = key_of("root", is_administrator=True) | {"Idempotency-Key": "k-1"}
    first, again = (
        guarded.client.post("/api/v1/users", json={"username": "ana"}, headers=headers)
        for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json() | {
        "key": first.get_json()["key"] | {"key": None, "last_used_at": None}
    }
    other = guarded.client.post("/api/v1/users", json={"username": "ben"}, headers=headers)
    assert_problem(other, 422, "invalid_input")


def test_another_user_is_as_absent_as_none(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    key_of("ben")
    with guarded.runtime.reading() as session:
        bens = users.user_named(session, "ben").id
        bens_key = keys.list_keys(session, bens)[0].id
    calls = [
        ("get", "/api/v1/users/{user}", {}),
        ("get", "/api/v1/users/{user}/keys", {}),
        ("post", "/api/v1/users/{user}/keys", {"json": {}}),
        ("get", f"/api/v1/users/{{user}}/keys/{bens_key}", {}),
        ("delete", f"/api/v1/users/{{user}}/keys/{bens_key}", {}),
        ("post", f"/api/v1/users/{{user}}/keys/{bens_key}/rotate", {"json": {}}),
    ]
    for method, path, body in calls:
        answers = []
        for user_id in (bens, 999, 2**63 - 1):
            address = path.format(user=user_id)
            response = getattr(guarded.client, method)(address, headers=ana, **body)
            problem = assert_problem(response, 404, "not_found")
            answers.append(problem["detail"].replace(str(user_id), "ID"))
            anonymous = getattr(guarded.client, method)(address, **body)
            assert_problem(anonymous, 401, "not_authenticated")
        assert set(answers) == {"There is no user ID."}, path
    with guarded.runtime.reading() as session:
        assert [key.revoked_at for key in keys.list_keys(session, bens)] == [None]


def test_somebody_else_s_key_is_as_absent_as_none(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    key_of("ben")
    root = key_of("root", is_administrator=True)
    with guarded.runtime.reading() as session:
        anas, bens = (users.user_named(session, name).id for name in ("ana", "ben"))
        bens_key = keys.list_keys(session, bens)[0].id
    for headers, path in ((ana, MINE), (root, f"/api/v1/users/{anas}/keys")):
        for method, end in (("get", ""), ("delete", ""), ("post", "/rotate")):
            body = {"json": {}} if method == "post" else {}
            details = []
            for key_id in (bens_key, 999):
                response = getattr(guarded.client, method)(
                    f"{path}/{key_id}{end}", headers=headers, **body
                )
                detail = assert_problem(response, 404, "not_found")["detail"]
                details.append(detail.replace(str(key_id), "ID"))
            assert details == ["There is no key ID."] * 2


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "1.5", "9223372036854775808", "1e3", "%00"])
@pytest.mark.parametrize(
    "path", ["/api/v1/users/{}", "/api/v1/users/{}/keys", "/api/v1/users/me/keys/{}"]
)
def test_what_is_no_id_is_404(guarded: Gallery, key_of: KeyOf, path: str, wrong: str) -> None:
    root = key_of("root", is_administrator=True)
    assert_problem(guarded.get(path.format(wrong), headers=root), 404, "not_found")


def test_a_user_reads_what_is_their_own_by_id_as_well(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    me = guarded.get("/api/v1/users/me", headers=ana).get_json()
    by_id = guarded.get(me["url"], headers=ana).get_json()
    assert by_id == {name: me[name] for name in by_id}
    listed = guarded.get(f"{me['url']}/keys", headers=ana).get_json()
    assert listed["count"] == 1
    assert guarded.get(listed["results"][0]["url"], headers=ana).status_code == 200


# Keys.


def test_a_user_makes_lists_and_revokes_keys(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    new = make(guarded, ana, name="shop", scopes=["write", "read"])
    assert new["scopes"] == ["read", "write"]
    assert new["key"].startswith(new["prefix"])
    assert calls_as(guarded, new["key"]) == 200

    listed = guarded.get(MINE, headers=ana)
    assert listed.get_json()["count"] == 2
    assert new["key"][13:] not in listed.get_data(as_text=True)
    assert set(listed.get_json()["results"][0]) == {
        "id",
        "prefix",
        "name",
        "scopes",
        "state",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
        "url",
    }
    for _ in range(2):
        assert guarded.client.delete(new["url"], headers=ana).status_code == 204
    assert calls_as(guarded, new["key"]) == 401
    read = guarded.get(new["url"], headers=ana).get_json()
    assert read["state"] == "revoked"
    assert read["revoked_at"] is not None


def test_keys_are_listed_by_pages(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    ids = [make(guarded, ana)["id"] for _ in range(3)]
    first = guarded.get(f"{MINE}?limit=2", headers=ana).get_json()
    second = guarded.get(first["next"], headers=ana).get_json()
    found = [key["id"] for key in first["results"] + second["results"]]
    assert found[:3] == ids[::-1]
    assert len(found) == 4


def test_an_administrator_manages_anybody_s_keys(guarded: Gallery, key_of: KeyOf) -> None:
    root = key_of("root", is_administrator=True)
    key_of("ana")
    with guarded.runtime.reading() as session:
        path = f"/api/v1/users/{users.user_named(session, 'ana').id}/keys"
    new = make(guarded, root, path, scopes=["metrics"])
    assert new["url"].startswith(path)
    assert guarded.get(path, headers=root).get_json()["count"] == 2
    rotated = make(guarded, root, f"{new['url']}/rotate")
    assert rotated["scopes"] == ["metrics"]
    assert calls_as(guarded, new["key"]) == 401
    assert guarded.client.delete(rotated["url"], headers=root).status_code == 204
    assert calls_as(guarded, rotated["key"]) == 401


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["read", "everything"]}, "scopes"),
        ({"scopes": [None]}, "scopes"),
        ({"scopes": ["read"] * 1000}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 1893456000}, "expires_at"),
        ({"owner_id": 1}, "owner_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_key_that_makes_no_sense_is_not_made(
    guarded: Gallery, key_of: KeyOf, fields: dict[str, Any], at_fault: str
) -> None:
    ana = key_of("ana")
    response = guarded.client.post(MINE, json=fields, headers=ana)
    assert list(assert_problem(response, 422, "invalid_input")["errors"]) == [at_fault]
    assert guarded.get(MINE, headers=ana).get_json()["count"] == 1


def test_a_key_is_made_once_per_idempotency_key(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    headers = ana | {"Idempotency-Key": "k-1"}
    first, again = (
        guarded.client.post(MINE, json={"name": "shop"}, headers=headers) for _ in range(2)
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json() | {"key": None}
    assert_problem(
        guarded.client.post(MINE, json={"name": "other"}, headers=headers), 422, "invalid_input"
    )
    assert_problem(
        guarded.client.post(f"{MINE}/1/rotate", json={}, headers=headers), 422, "invalid_input"
    )
    assert guarded.get(MINE, headers=ana).get_json()["count"] == 2


def test_a_key_replaces_itself(guarded: Gallery, key_of: KeyOf, limited_key: KeyOf) -> None:
    key_of("ana")
    old = limited_key("ana", "write", hours=48)
    with guarded.runtime.reading() as session:
        row = keys.list_keys(session, 1)[0]
    new = make(guarded, old, f"{MINE}/{row.id}/rotate", grace_s=3600)
    assert new["scopes"] == ["write"]
    assert in_hours(47) < datetime.fromisoformat(new["expires_at"]) <= in_hours(48)
    # The old one writes for another hour.
    assert guarded.client.delete(f"{MINE}/{row.id}", headers=old).status_code == 204
    assert guarded.client.delete(f"{MINE}/{row.id}", headers=old).status_code == 401


def test_a_lost_reply_to_a_rotation_is_asked_for_again(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    old = make(guarded, ana)
    headers = ana | {"Idempotency-Key": "k-1"}
    first, again = (
        guarded.client.post(f"{old['url']}/rotate", json={}, headers=headers) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json() | {"key": None}
    assert_problem(
        guarded.client.post(f"{old['url']}/rotate", json={}, headers=ana), 409, "conflict"
    )


@pytest.mark.parametrize("grace_s", [-1, 604801, "1", 1.5, None, 10**30])
def test_a_grace_period_that_makes_no_sense_replaces_nothing(
    guarded: Gallery, key_of: KeyOf, grace_s: Any
) -> None:
    ana = key_of("ana")
    new = make(guarded, ana)
    response = guarded.client.post(f"{new['url']}/rotate", json={"grace_s": grace_s}, headers=ana)
    assert list(assert_problem(response, 422, "invalid_input")["errors"]) == ["grace_s"]
    assert calls_as(guarded, new["key"]) == 200


def test_a_rotation_needs_no_body(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    new = make(guarded, ana)
    assert guarded.client.post(f"{new['url']}/rotate", headers=ana).status_code == 201


# No key gives more than it has.


def test_a_limited_key_makes_no_wider_one(
    guarded: Gallery, key_of: KeyOf, limited_key: KeyOf
) -> None:
    key_of("root", is_administrator=True)
    with guarded.runtime.reading() as session:
        whole_id = keys.list_keys(session, 1)[0].id
    writer = limited_key("root", "write")
    for fields in ({}, {"scopes": None}, {"scopes": ["read"]}, {"scopes": ["write", "admin"]}):
        response = guarded.client.post(MINE, json=fields, headers=writer)
        assert_problem(response, 403, "scope_missing")
    rotation = guarded.client.post(f"{MINE}/{whole_id}/rotate", json={}, headers=writer)
    assert_problem(rotation, 403, "scope_missing")
    assert make(guarded, writer, scopes=["write"])["scopes"] == ["write"]
    reader = limited_key("root", "read")
    assert_problem(
        guarded.client.post(MINE, json={"scopes": ["read"]}, headers=reader), 403, "scope_missing"
    )


def test_a_limited_administrator_makes_no_user_with_a_wider_key(
    guarded: Gallery, key_of: KeyOf, limited_key: KeyOf
) -> None:
    key_of("root", is_administrator=True)
    limited = limited_key("root", "write", "admin")
    for fields in ({}, {"key": {"scopes": ["read"]}}, {"role": "administrator"}):
        response = guarded.client.post(
            "/api/v1/users", json={"username": "eve", **fields}, headers=limited
        )
        assert_problem(response, 403, "scope_missing")
    response = guarded.client.post(
        "/api/v1/users", json={"username": "ana", "key": {"scopes": ["write"]}}, headers=limited
    )
    assert response.status_code == 201
    assert_problem(
        guarded.client.post(
            "/api/v1/users", json={"username": "eve"}, headers=limited_key("root", "write")
        ),
        403,
        "scope_missing",
    )


def test_a_user_gives_nobody_the_scope_metrics(guarded: Gallery, key_of: KeyOf) -> None:
    ana = key_of("ana")
    for scopes in (["metrics"], ["read", "admin"]):
        response = guarded.client.post(MINE, json={"scopes": scopes}, headers=ana)
        assert_problem(response, 403, "not_allowed")


def test_a_key_that_ends_makes_none_that_outlives_it(
    guarded: Gallery, key_of: KeyOf, limited_key: KeyOf
) -> None:
    key_of("ana")
    ending = limited_key("ana", hours=5)
    for fields in ({}, {"expires_at": in_hours(6).isoformat()}):
        response = guarded.client.post(MINE, json=fields, headers=ending)
        assert "outlive" in assert_problem(response, 403, "not_allowed")["detail"]
    assert make(guarded, ending, expires_at=in_hours(4).isoformat())["state"] == "in_force"


def test_a_key_in_its_grace_period_makes_none_that_outlives_it(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana = key_of("ana")
    replaced, other = make(guarded, ana), make(guarded, ana)
    headers = {"X-API-Key": replaced["key"]}
    make(guarded, headers, f"{MINE}/{replaced['id']}/rotate", grace_s=3600)
    for path in (MINE, f"{MINE}/{other['id']}/rotate"):
        response = guarded.client.post(path, json={}, headers=headers)
        assert "outlive" in assert_problem(response, 403, "not_allowed")["detail"]
    assert make(guarded, headers, expires_at=in_hours(0.5).isoformat())["state"] == "in_force"


def test_the_local_user_makes_keys_in_open_mode(gallery: Gallery) -> None:
    new = make(gallery, {}, scopes=["read", "admin"])
    me = gallery.get("/api/v1/users/me", headers={"X-API-Key": new["key"]}).get_json()
    assert (me["username"], me["role"]) == ("local", "administrator")
