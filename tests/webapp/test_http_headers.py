"""Headers and paths: request ids, security, cross-origin calls, slashes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from sqlalchemy import select

from mirada.config import InvalidSettings, Settings
from mirada.db.models import Job
from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.gallery import Gallery, as_upload, assert_problem
from testing.pictures import picture


def test_a_sane_request_id_is_echoed_and_kept_with_the_job(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(picture(1))},
        headers={"X-Request-ID": "order-66.a"},
    )
    assert response.headers["X-Request-ID"] == "order-66.a"
    with gallery.runtime.reading() as session:
        assert session.execute(select(Job.request_id)).scalar_one() == "order-66.a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "-a"])
def test_a_strange_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    echoed = client.get("/health/live", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert echoed != given
    assert len(echoed) == 32


def test_every_request_is_logged_with_its_id(client: FlaskClient) -> None:
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as logs:
        client.get("/nowhere", headers={"X-Request-ID": "abc"})
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/nowhere", 404)
    assert line["request_id"] == "abc"
    assert line["duration_ms"] >= 0


@pytest.mark.parametrize("path", ["/", "/docs", "/nowhere", "/assets/docs/redoc.css"])
def test_every_reply_has_security_headers(client: FlaskClient, path: str) -> None:
    with client.get(path, buffered=True) as response:
        headers = response.headers
    assert "script-src 'self';" in headers["Content-Security-Policy"]
    assert "unsafe-eval" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.fixture
def client_for(make_runtime: Callable[..., Runtime]) -> Callable[..., FlaskClient]:
    """Return a function from settings to a client."""
    from testing.application import create_app

    def make(**settings: Any) -> FlaskClient:
        return create_app(make_runtime(**settings)).test_client()

    return make


def test_an_allowed_origin_may_call_and_read_our_headers(
    client_for: Callable[..., FlaskClient],
) -> None:
    client = client_for(allowed_origins=("https://a.example", "https://b.example"))
    response = client.get("/health/live", headers={"Origin": "https://b.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    exposed = response.headers["Access-Control-Expose-Headers"]
    for name in (
        "ETag",
        "Location",
        "Link",
        "Retry-After",
        "X-Request-ID",
        "X-Change-Seq",
        "Idempotent-Replayed",
        "X-Embedding-Count",
        "X-Embedding-Dimension",
        "X-Embedding-Space",
    ):
        assert name in exposed
    preflight = client.options(
        "/api/v1/images",
        headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://a.example"


@pytest.mark.parametrize(
    ("setting", "origin", "is_allowed"),
    [
        (None, "http://localhost:3000", True),
        (None, "http://localhost:3001", False),
        ("none", "http://localhost:3000", False),
        ("https://a.example/, http://b.example", "https://a.example", True),
        ("https://A.example:443", "https://a.example", True),
        ("*", "https://anything.example", True),
    ],
)
def test_origins_are_allowed_as_browsers_write_them(
    client_for: Callable[..., FlaskClient],
    setting: str | None,
    origin: str,
    is_allowed: bool,
) -> None:
    client = client_for(**({} if setting is None else {"allowed_origins": setting}))
    given = client.get("/health/live", headers={"Origin": origin}).headers
    assert (given.get("Access-Control-Allow-Origin") in (origin, "*")) == is_allowed
    # Calls without a key go by the same list.
    written = client.delete("/api/v1/images/1", headers={"Origin": origin})
    assert written.status_code == (404 if is_allowed else 403)


@pytest.mark.parametrize(
    "wrong",
    ["a.example", "https://a.example/app", "https://*.a.example", "null", "https://", "http://u@h"],
)
def test_what_is_no_origin_is_told_at_start(wrong: str) -> None:
    with pytest.raises(InvalidSettings, match=r"ALLOWED_ORIGINS: .* is no origin"):
        Settings.from_env(allowed_origins=wrong)


def test_a_browser_is_promised_the_methods_that_an_address_has(app: Any) -> None:
    client, seen = app.test_client(), 0
    for path in sorted({re.sub(r"<[^>]+>", "1", rule.rule) for rule in app.url_map.iter_rules()}):
        asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
        reply = client.options(path, headers=asked)
        promised = {
            name.strip() for name in reply.headers["Access-Control-Allow-Methods"].split(",")
        }
        assert promised == set(reply.allow)
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            with client.open(f"{path}?nobody_reads_this=1", method=method, buffered=True) as answer:
                assert (answer.status_code != 405) == (method in promised), (method, path)
                seen += 1
    assert seen > 300


@pytest.mark.parametrize("allowed", [(), ("https://a.example",)])
def test_any_other_origin_gets_no_permission(
    client_for: Callable[..., FlaskClient], allowed: tuple[str, ...]
) -> None:
    client = client_for(allowed_origins=allowed)
    response = client.get("/health/live", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_page_of_another_site_cannot_act_as_the_local_user(gallery: Gallery) -> None:
    response = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(picture(1))},
        headers={"Origin": "https://evil.example"},
    )
    assert response.status_code == 403
    same = gallery.client.post(
        "/api/v1/images",
        data={"file": as_upload(picture(1))},
        headers={"Origin": "http://localhost"},
    )
    assert same.status_code == 201


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/images", 200), ("/api/v1/users/me", 200), ("/api/v1/images/99", 404)],
)
def test_caches_keep_replies_apart_by_key_and_ask_again(
    client: FlaskClient, path: str, status: int
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "X-API-Key"} <= set(response.vary)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000"],
)
def test_without_a_key_this_machine_s_own_names_are_answered(
    client: FlaskClient, host: str
) -> None:
    assert client.get("/api/v1/users/me", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil", "[x"]
)
def test_without_a_key_a_name_that_leads_here_by_foul_play_is_403(
    client: FlaskClient, host: str, method: str
) -> None:
    path = {"get": "/api/v1/images", "post": "/api/v1/jobs/1/retry"}.get(method, "/api/v1/images/1")
    # A page of that name is of the same origin as far as the browser can tell.
    response = getattr(client, method)(path, headers={"Host": host, "Origin": f"http://{host}"})
    assert "127.0.0.1" in assert_problem(response, 403, "not_allowed")["detail"]


def test_a_key_is_believed_under_any_name(
    make_runtime: Callable[..., Runtime],
) -> None:
    from testing.application import create_app

    runtime = make_runtime()
    with runtime.transaction() as session:
        key = str(issue_key(session, users.create_user(session, "ana")).key)
    client = create_app(runtime).test_client()
    headers = {"Host": "mirada.example", "Authorization": f"Bearer {key}"}
    assert client.get("/api/v1/users/me", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/livez", "/docs", "/openapi.json"])
def test_probes_and_documentation_are_answered_under_any_name(
    client: FlaskClient, path: str
) -> None:
    assert client.get(path, headers={"Host": "mirada.example"}).status_code == 200


def test_a_server_that_listens_to_the_network_cannot_know_its_names(
    client_for: Callable[..., FlaskClient],
) -> None:
    headers = {"Host": "gallery.example"}
    for host in ("0.0.0.0", "gallery.example"):
        client = client_for(host=host, auth_mode="open")
        assert client.get("/api/v1/users/me", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/openapi.json",
        "/docs",
        "/redoc",
        "/api/v1/images",
        "/api/v1/jobs",
        "/api/v1/indexes",
        "/api/v1/users/me",
    ],
)
def test_a_trailing_slash_may_be_there_or_not(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.get(f"{path}/").status_code == 200
    doubled = client.get(path, environ_overrides={"PATH_INFO": f"/{path}//"})
    assert doubled.status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/images", "/api/v1/images/", "/api//v1/images//"])
def test_a_body_arrives_whatever_the_slashes(gallery: Gallery, path: str) -> None:
    data = {"file": (io.BytesIO(picture(1)), "a.png", "image/png")}
    assert gallery.client.post(path, data=data).status_code == 201


def test_no_route_redirects_for_a_slash(app: Any) -> None:
    assert all(rule.rule == "/" or not rule.rule.endswith("/") for rule in app.url_map.iter_rules())


def test_the_wish_for_another_protocol_is_ignored(client: FlaskClient) -> None:
    for wish in ("websocket", "h2c"):
        upgrade = {"Connection": "Upgrade", "Upgrade": wish}
        assert client.get("/livez", headers=upgrade).status_code == 200
        assert client.get("/absent", headers=upgrade).status_code == 404
