"""What a key's scopes allow, call by call: no view is asked to remember them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import ledger
from mirada.people import keys, users
from mirada.people.access import Scope, checked_scopes
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import assert_problem, on_arc
from webapp.callers.auth import KEYLESS_ENDPOINTS, require_metrics_reader
from webapp.callers.scopes import FREE_ENDPOINTS, PAGES, READING_POSTS
from webapp.http import streams

KeyFor = Callable[..., dict[str, str]]


@pytest.fixture
def guarded_app(make_runtime: Callable[..., Runtime]) -> Flask:
    """An app behind AUTH_MODE=keys that embeds nothing."""
    return create_app(make_runtime(auth_mode="keys", embeddings_enabled=False))


@pytest.fixture
def calls(guarded_app: Flask) -> FlaskClient:
    """Its client."""
    return guarded_app.test_client()


@pytest.fixture
def key_for(guarded_app: Flask) -> KeyFor:
    """Return a function from a user and scopes (None: no limit) to the headers of a new key."""
    runtime: Runtime = guarded_app.extensions["mirada_runtime"]

    def make(name: str, *scopes: str, is_administrator: bool = False) -> dict[str, str]:
        with runtime.transaction() as session:
            known = {user.username: user for user in users.list_users(session)}
            user = known.get(name) or users.create_user(
                session, name, is_administrator=is_administrator
            )
            new = keys.issue(session, user, scopes=checked_scopes(scopes or None))
        return {"Authorization": f"Bearer {new.key}"}

    return make


def every_call(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and endpoint of everything that a key is asked for."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint in KEYLESS_ENDPOINTS:
            continue
        path = re.sub(r"<id:[^>]*>", "999999", rule.rule)
        path = re.sub(r"<[^>]*>", "x", path)
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, path, rule.endpoint


def refused_for(client: FlaskClient, method: str, path: str, key: dict[str, str]) -> str | None:
    """Return the one scope for lack of which a call was refused; None when it was not."""
    response = client.open(path, method=method, headers=key, buffered=True)
    # The header, for a reply to HEAD has no body to look into.
    told = re.search(
        r'insufficient_scope", scope="(\w+)"', response.headers.get("WWW-Authenticate", "")
    )
    assert told is None or response.status_code == 403
    return told[1] if told else None


def test_every_operation_asks_for_read_or_write(
    guarded_app: Flask, calls: FlaskClient, key_for: KeyFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stream of events that is permitted would be read for a minute.
    monkeypatch.setattr(streams, "LIMIT_S", 0.0)
    reader, writer = key_for("ana", "read"), key_for("ana", "write")
    neither, unlimited = key_for("ana", "metrics"), key_for("ana")
    asked = 0
    for method, path, endpoint in every_call(guarded_app):
        here = f"{method} {path}"
        needed: str | None = "write"
        if endpoint in FREE_ENDPOINTS or endpoint.split(".")[0] in PAGES:
            needed = None
        elif method in ("GET", "HEAD") or (method == "POST" and endpoint in READING_POSTS):
            needed = "read"
        for key, held in ((reader, "read"), (writer, "write"), (neither, "metrics")):
            expected = None if needed == held else needed
            assert refused_for(calls, method, path, key) == expected, (here, held)
        assert refused_for(calls, method, path, unlimited) is None, here
        asked += 1
    assert asked > 60


def test_what_only_asks_by_post_is_a_route_of_ours(guarded_app: Flask) -> None:
    posts = {
        rule.endpoint for rule in guarded_app.url_map.iter_rules() if "POST" in (rule.methods or ())
    }
    assert posts >= READING_POSTS
    assert set(guarded_app.view_functions) >= FREE_ENDPOINTS
    assert set(guarded_app.blueprints) >= PAGES


def test_no_view_answers_options_itself(guarded_app: Flask) -> None:
    # Keys are not looked at there.
    for rule in guarded_app.url_map.iter_rules():
        assert rule.provide_automatic_options, rule


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/search", {"json": {"vector": on_arc(0)}}),
        ("/api/v1/images/1/similar", {}),
        ("/api/v1/embeddings", {"json": {"texts": ["a cat"]}}),
        ("/embed-image", {}),
        ("/search-similar-images", {}),
    ],
)
def test_searches_and_embeddings_are_reading(
    calls: FlaskClient, key_for: KeyFor, path: str, body: dict[str, Any]
) -> None:
    assert calls.post(path, headers=key_for("ana", "read"), **body).status_code != 403
    assert_problem(calls.post(path, headers=key_for("ana", "write"), **body), 403, "scope_missing")


def test_a_missing_scope_is_named(calls: FlaskClient, key_for: KeyFor) -> None:
    response = calls.post("/classify", headers=key_for("ana", "read", "metrics"))
    body = assert_problem(response, 403, "scope_missing")
    assert "lacks the scope write" in body["detail"]
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="mirada", error="insufficient_scope", scope="write"'
    )


def test_an_upload_by_a_reading_key_is_not_received(
    guarded_app: Flask, calls: FlaskClient, key_for: KeyFor
) -> None:
    response = calls.post(
        "/api/v1/images", data={"file": (b"x", "a.png")}, headers=key_for("ana", "read")
    )
    assert_problem(response, 403, "scope_missing")
    runtime: Runtime = guarded_app.extensions["mirada_runtime"]
    assert not runtime.settings.image_dir.exists()


def test_an_administrator_s_key_without_admin_acts_as_a_user(
    guarded_app: Flask, calls: FlaskClient, key_for: KeyFor
) -> None:
    runtime: Runtime = guarded_app.extensions["mirada_runtime"]
    with runtime.transaction() as session:
        job_id = ledger.enqueue(session, REBUILD_INDEX, space_id=1).id
    whole = key_for("root", is_administrator=True)
    limited = key_for("root", "read", "write")
    auditor = key_for("root", "read", "admin")

    def sees_the_job(key: dict[str, str]) -> bool:
        return calls.get(f"/api/v1/jobs/{job_id}", headers=key).status_code == 200

    assert [sees_the_job(key) for key in (whole, limited, auditor)] == [True, False, True]
    roles = [
        calls.get("/api/v1/users/me", headers=key).get_json()["role"] for key in (whole, limited)
    ]
    assert roles == ["administrator", "user"]

    response = calls.delete("/api/v1/labels", headers=limited)
    assert "scope admin" in assert_problem(response, 403, "scope_missing")["detail"]
    assert_problem(calls.delete("/api/v1/labels", headers=auditor), 403, "scope_missing")
    assert_problem(calls.delete("/api/v1/labels", headers=key_for("ana")), 403, "not_allowed")
    assert calls.delete(
        "/api/v1/labels", headers=key_for("root", "write", "admin")
    ).status_code == (204)


def test_the_row_of_an_administrator_is_not_changed_by_a_limited_key(
    guarded_app: Flask, calls: FlaskClient, key_for: KeyFor
) -> None:
    key_for("root", is_administrator=True)
    calls.put("/api/v1/labels/x", headers=key_for("root", "write"))
    calls.post("/api/v1/feedback", json={}, headers=key_for("root", "write"))
    runtime: Runtime = guarded_app.extensions["mirada_runtime"]
    with runtime.reading() as session:
        assert [user.role for user in users.list_users(session)] == ["administrator"]


def test_metrics_are_for_administrators_and_for_keys_made_for_them(
    guarded_app: Flask, key_for: KeyFor
) -> None:
    root = key_for("root", is_administrator=True)

    def outcome(key: dict[str, str] | None) -> str:
        with guarded_app.test_request_context("/somewhere", headers=key):
            try:
                require_metrics_reader()
            except Exception as error:
                return str(getattr(error, "code", error))
            return "read"

    assert outcome(root) == "read"
    assert outcome(key_for("ana", "metrics")) == "read"
    assert outcome(key_for("root", "metrics")) == "read"
    assert outcome(key_for("root", "read", "admin")) == "read"
    assert outcome(key_for("root", "read", "write")) == "scope_missing"
    assert outcome(key_for("ana")) == "not_allowed"
    assert outcome(key_for("ana", "read", "write")) == "not_allowed"
    assert outcome(None) == "not_authenticated"


def test_a_scope_that_this_version_does_not_know_allows_nothing(
    guarded_app: Flask, calls: FlaskClient, key_for: KeyFor
) -> None:
    from mirada.db.models import ApiKey

    key = key_for("ana", Scope.READ)
    runtime: Runtime = guarded_app.extensions["mirada_runtime"]
    with runtime.transaction() as session:
        session.query(ApiKey).update({ApiKey.scopes: "everything"})
    assert_problem(calls.get("/api/v1/users/me", headers=key), 403, "scope_missing")
