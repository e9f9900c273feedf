"""Browser sessions: a cookie does what its key does, for our own pages only, while the key counts."""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mirada.config import Settings
from mirada.db.models import ApiKey
from mirada.people import keys, users
from mirada.people.access import checked_scopes
from mirada.runtime import Runtime
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.servers.process import free_port
from tests.webapp.test_http_scopes import every_call
from webapp.callers import sessions
from webapp.callers.scopes import FREE_ENDPOINTS, PAGES
from webapp.http import streams

SESSION = "/api/v1/session"
ME = "/api/v1/users/me"
LABEL = "/api/v1/labels/x"


class Browser:
    """A client that keeps its cookie."""

    def __init__(self, runtime: Runtime, app: Flask | None = None) -> None:
        self.runtime = runtime
        self.app = app or create_app(runtime)
        self.client: FlaskClient = self.app.test_client()
        self.csrf: dict[str, str] = {}

    def sign_in(self, key: str | None, **more: Any) -> dict[str, Any]:
        response = self.client.post(SESSION, json={} if key is None else {"key": key}, **more)
        assert response.status_code == 200, response.get_json()
        body: dict[str, Any] = response.get_json()
        self.csrf = {"X-CSRF-Token": body["csrf_token"]}
        return body

    def me(self, **headers: str) -> str:
        """Return who the server takes us for; the code of its refusal where it does not."""
        body = self.client.get(ME, headers=headers).get_json()
        return str(body.get("username", body.get("code")))

    def cookie(self) -> str | None:
        found = self.client.get_cookie(sessions.COOKIE)
        return None if found is None else found.value

    def take(self, cookie: str) -> None:
        self.client.set_cookie(sessions.COOKIE, cookie)


@pytest.fixture
def browser(make_runtime: Callable[..., Runtime]) -> Browser:
    """A browser before a server with AUTH_MODE=keys."""
    return Browser(make_runtime(auth_mode="keys", embeddings_enabled=False))


@pytest.fixture
def open_browser(make_runtime: Callable[..., Runtime]) -> Browser:
    """A browser before a server with AUTH_MODE=open."""
    return Browser(make_runtime(auth_mode="open", embeddings_enabled=False))


def make_key(
    runtime: Runtime, name: str = "ana", *scopes: str, is_administrator: bool = False, **times: Any
) -> str:
    with runtime.transaction() as session:
        known = {user.username: user for user in users.list_users(session)}
        user = known.get(name) or users.create_user(
            session, name, is_administrator=is_administrator
        )
        new = keys.issue(session, user, scopes=checked_scopes(scopes or None))
        for column, time in times.items():
            setattr(session.get_one(ApiKey, new.row.id), column, time)
    return str(new.key)


def set_times(runtime: Runtime, key: str, **times: datetime) -> None:
    with runtime.transaction() as session:
        session.query(ApiKey).filter_by(prefix=key[:12]).update(times)  # type: ignore[arg-type]


def hours(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


# Signing in and out.


def test_a_browser_signs_in_with_a_key_and_out_again(browser: Browser) -> None:
    key = make_key(browser.runtime)
    signed_in = browser.sign_in(key)
    assert signed_in["user"]["username"] == "ana"
    assert signed_in["key"]["prefix"] == key[:12]
    assert browser.me() == "ana"

    read = browser.client.get(SESSION)
    assert read.headers["Cache-Control"] == "no-store"
    assert read.get_json()["user"] == signed_in["user"]
    for token in (signed_in["csrf_token"], read.get_json()["csrf_token"]):
        response = browser.client.post(
            "/api/v1/users/me/keys", json={}, headers={"X-CSRF-Token": token}
        )
        assert response.status_code == 201

    assert browser.client.delete(SESSION, headers=browser.csrf).status_code == 204
    assert browser.cookie() is None
    assert browser.me() == "not_authenticated"
    assert browser.client.delete(SESSION).status_code == 204


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    key = make_key(browser.runtime)
    response = browser.client.post(SESSION, json={"key": key})
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie
    assert response.headers["Cache-Control"] == "no-store"
    secure = browser.client.post(SESSION, json={"key": key}, base_url="https://localhost")
    assert "Secure" in secure.headers["Set-Cookie"]


def test_the_cookie_holds_no_secret(browser: Browser) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    payload = str(browser.cookie()).rsplit(".", 2)[0]
    plain = urlsafe_b64decode(payload.lstrip(".") + "=" * (-len(payload.lstrip(".")) % 4))
    held = json.loads(zlib.decompress(plain) if payload.startswith(".") else plain)
    assert set(held) == {"_permanent", "key_id", "key_prefix", "csrf_token"}
    assert key[12:] not in json.dumps(held)


@pytest.mark.parametrize("auth_mode", ["keys", "open"])
@pytest.mark.parametrize(
    "wrong", ["nonsense", "", "mrd_00000000_" + "x" * 43, "x" * 100_000, "é", "\ud800"], ids=len
)
def test_nobody_signs_in_with_a_wrong_key(
    make_runtime: Callable[..., Runtime], auth_mode: str, wrong: str
) -> None:
    browser = Browser(make_runtime(auth_mode=auth_mode))
    response = browser.client.post(SESSION, json={"key": wrong})
    assert_problem(response, 401, "not_authenticated")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_nobody_signs_in_with_a_key_that_has_ended(browser: Browser, column: str) -> None:
    key = make_key(browser.runtime, **{column: hours(-1)})
    assert_problem(browser.client.post(SESSION, json={"key": key}), 401, "not_authenticated")


def test_without_a_key_nobody_signs_in_where_keys_are_asked_for(browser: Browser) -> None:
    for body in ({}, {"json": {}}, {"json": {"key": None}}):
        response = browser.client.post(SESSION, **body)
        assert_problem(response, 401, "not_authenticated")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="mirada"'
    assert_problem(browser.client.get(SESSION), 401, "not_authenticated")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"key": 7}}, 422),
        ({"json": {"key": ["x"]}}, 422),
        ({"json": {"password": "x"}}, 422),
        ({"json": []}, 422),
        ({"data": "{", "content_type": "application/json"}, 400),
        ({"data": {"key": "x"}}, 415),
        ({"data": '{"key": "x"}', "content_type": "text/plain"}, 415),
    ],
)
def test_what_a_form_of_another_site_could_send_signs_nobody_in(
    browser: Browser, body: dict[str, Any], status: int
) -> None:
    response = browser.client.post(SESSION, **body)
    assert response.status_code == status
    assert "Set-Cookie" not in response.headers


def test_a_key_in_the_header_signs_in_as_well(browser: Browser) -> None:
    key = make_key(browser.runtime)
    response = browser.client.post(SESSION, headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200
    assert browser.me() == "ana"


def test_signing_in_again_ends_the_session_before(browser: Browser) -> None:
    browser.sign_in(make_key(browser.runtime))
    before = browser.csrf
    browser.sign_in(make_key(browser.runtime, "ben"))
    assert browser.me() == "ben"
    response = browser.client.post("/api/v1/users/me/keys", json={}, headers=before)
    assert_problem(response, 403, "csrf_failed")


def test_a_request_with_a_key_sees_no_session(browser: Browser) -> None:
    key = make_key(browser.runtime)
    body = browser.client.get(SESSION, headers={"X-API-Key": key}).get_json()
    assert (body["user"]["username"], body["csrf_token"], body["expires_at"]) == ("ana", None, None)
    assert browser.cookie() is None


# A cookie is worth what its key is.


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
def test_the_end_of_its_key_ends_a_session_at_once(browser: Browser, column: str) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    set_times(browser.runtime, key, **{column: hours(-0.001)})
    response = browser.client.get("/api/v1/images")
    assert "session is over" in assert_problem(response, 401, "not_authenticated")["detail"]
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="mirada"'
    # The cookie is taken back, so public images can be read again.
    assert browser.cookie() is None
    assert browser.client.get("/api/v1/images").status_code == 200


def test_a_session_of_a_revoked_key_does_not_turn_into_the_local_administrator(
    open_browser: Browser,
) -> None:
    key = make_key(open_browser.runtime, "ana", "read")
    open_browser.sign_in(key)
    assert open_browser.me() == "ana"
    set_times(open_browser.runtime, key, revoked_at=hours(-1))
    assert open_browser.me() == "not_authenticated"


def test_revoking_one_s_own_key_ends_one_s_session(browser: Browser) -> None:
    signed_in = browser.sign_in(make_key(browser.runtime))
    response = browser.client.delete(signed_in["key"]["url"], headers=browser.csrf)
    assert response.status_code == 204
    assert browser.me() == "not_authenticated"


def test_a_dead_session_does_not_stand_in_the_way_of_a_new_one(browser: Browser) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    set_times(browser.runtime, key, revoked_at=hours(-1))
    browser.sign_in(make_key(browser.runtime, "ben"))
    assert browser.me() == "ben"


def test_a_session_has_the_scopes_of_its_key(browser: Browser) -> None:
    browser.sign_in(make_key(browser.runtime, "root", "write", is_administrator=True))
    assert browser.me() == "scope_missing"
    response = browser.client.post("/api/v1/users/me/keys", json={}, headers=browser.csrf)
    assert_problem(response, 403, "scope_missing")
    response = browser.client.delete("/api/v1/labels", headers=browser.csrf)
    assert "scope admin" in assert_problem(response, 403, "scope_missing")["detail"]
    # Reading who one is, and signing out, is anybody's.
    assert browser.client.get(SESSION).get_json()["user"]["role"] == "user"
    assert browser.client.delete(SESSION, headers=browser.csrf).status_code == 204


def test_a_session_lasts_twelve_hours_however_busy(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    import itsdangerous.timed

    signed_in = browser.sign_in(make_key(browser.runtime))
    ends = datetime.fromisoformat(signed_in["expires_at"])
    assert timedelta(hours=11.9) < ends - datetime.now(UTC) <= timedelta(hours=12)
    assert browser.client.get(SESSION).headers.get("Set-Cookie") is None

    now = itsdangerous.timed.time.time()
    cookie = str(browser.cookie())
    for passed_h, who in ((11.99, "ana"), (12.01, "not_authenticated")):
        monkeypatch.setattr(itsdangerous.timed.time, "time", lambda h=passed_h: now + h * 3600)
        browser.take(cookie)
        assert browser.me() == who


@pytest.mark.parametrize("times", [("expires_at",), ("revoked_at",), ("revoked_at", "expires_at")])
def test_a_session_says_that_it_ends_with_its_key(browser: Browser, times: tuple[str, ...]) -> None:
    ends = hours(2)
    # The later of two is no end any more.
    spans = {time: ends + timedelta(hours=number) for number, time in enumerate(times)}
    signed_in = browser.sign_in(make_key(browser.runtime, **spans))
    told = [signed_in["expires_at"], browser.client.get(SESSION).get_json()["expires_at"]]
    assert [datetime.fromisoformat(time) for time in told] == [ends, ends]


def test_a_session_counts_as_a_use_of_its_key(browser: Browser) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    assert browser.runtime.key_usage.settle()
    with browser.runtime.reading() as session:
        assert keys.key_beginning_with(session, key).last_used_at is not None


# Forged cookies.


def test_a_cookie_that_we_did_not_sign_is_none(browser: Browser) -> None:
    browser.sign_in(make_key(browser.runtime))
    good = str(browser.cookie())
    payload, stamp, signature = good.rsplit(".", 2)
    other = Browser(browser.runtime, browser.app)
    other.sign_in(make_key(browser.runtime, "ben"))
    plain = browser.app.test_client(use_cookies=False)
    bens = str(other.cookie()).rsplit(".", 2)[0]
    for forged in (
        f"{bens}.{stamp}.{signature}",
        f"{payload}.{stamp}.{signature[:-2]}",
        f"{payload}.{stamp}.",
        f"{payload}..{signature}",
        payload,
        good[:-1],
        "x",
        "." * 3,
        "é",
        "x" * 100_000,
        good.swapcase(),
    ):
        sent = {"Cookie": f"{sessions.COOKIE}={forged}"}
        assert_problem(plain.get(ME, headers=sent), 401, "not_authenticated")
        assert plain.get("/api/v1/images", headers=sent).status_code == 200
    sent = {"Cookie": f"{sessions.COOKIE}={good}"}
    assert plain.get(ME, headers=sent).get_json()["username"] == "ana"


def test_a_number_given_to_another_key_opens_nothing(browser: Browser) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    with browser.runtime.transaction() as session:
        number = keys.key_beginning_with(session, key).id
        user = users.create_user(session, "ben", is_administrator=True)
        session.delete(session.get_one(ApiKey, number))
        session.flush()
        session.add(ApiKey(id=number, user_id=user.id, prefix="mrd_11111111", sha256="0" * 64))
    assert browser.me() == "not_authenticated"


def test_all_web_processes_of_a_database_agree(
    make_runtime: Callable[..., Runtime], migrated_mariadb_url: str, tmp_path: Path
) -> None:
    shared = {"database_url": migrated_mariadb_url, "data_dir": tmp_path / "shared"}
    one, two = (Browser(make_runtime(auth_mode="keys", **shared)) for _ in range(2))
    key = make_key(one.runtime)
    one.sign_in(key)
    two.take(str(one.cookie()))
    assert two.me() == "ana"
    response = two.client.post("/api/v1/users/me/keys", json={}, headers=one.csrf)
    assert response.status_code == 201
    set_times(one.runtime, key, revoked_at=hours(-1))
    assert (one.me(), two.me()) == ("not_authenticated", "not_authenticated")


def test_a_changed_secret_key_ends_every_session(make_runtime: Callable[..., Runtime]) -> None:
    first = Browser(make_runtime(auth_mode="keys"))
    first.sign_in(make_key(first.runtime))
    folder = first.runtime.settings.data_dir

    def who(secret_key: str | None) -> str:
        other = Browser(make_runtime(auth_mode="keys", data_dir=folder, secret_key=secret_key))
        other.take(str(first.cookie()))
        return other.me()

    assert who(None) == "ana"
    assert who("x" * 32) == "not_authenticated"
    (folder / "secret_key").unlink()
    assert who(None) == "not_authenticated"


def test_two_databases_with_one_secret_key_do_not_share_sessions(
    make_runtime: Callable[..., Runtime],
) -> None:
    one, two = (Browser(make_runtime(auth_mode="keys", secret_key="same" * 8)) for _ in range(2))
    key = make_key(one.runtime)
    one.sign_in(key)
    with two.runtime.transaction() as session:
        root = users.create_user(session, "root", is_administrator=True)
        session.add(ApiKey(id=1, user_id=root.id, prefix=key[:12], sha256="0" * 64))
    assert one.me() == "ana"
    two.take(str(one.cookie()))
    assert two.me() == "not_authenticated"


# Cookies and keys.


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nonsense"},
        {"X-API-Key": ""},
        {"Authorization": "Basic YTpi"},
        {"X-API-Key": "mrd_00000000_" + "x" * 43},
    ],
    ids=str,
)
def test_a_wrong_key_is_401_however_good_the_cookie(
    browser: Browser, headers: dict[str, str]
) -> None:
    browser.sign_in(make_key(browser.runtime))
    for path in (ME, "/api/v1/images", SESSION):
        assert_problem(browser.client.get(path, headers=headers), 401, "not_authenticated")
    assert_problem(
        browser.client.delete(SESSION, headers=headers | browser.csrf), 401, "not_authenticated"
    )
    assert browser.me() == "ana"


def test_a_key_that_is_sent_counts_and_the_cookie_does_not(browser: Browser) -> None:
    browser.sign_in(make_key(browser.runtime, "root", is_administrator=True))
    limited = {"X-API-Key": make_key(browser.runtime, "ben", "write")}
    assert browser.me(**limited) == "scope_missing"
    # It needs no token either.
    response = browser.client.post(
        "/api/v1/users/me/keys", json={"scopes": ["write"]}, headers=limited
    )
    assert response.status_code == 201
    assert_problem(browser.client.delete("/api/v1/labels", headers=limited), 403, "not_allowed")


# Other sites.


@pytest.mark.parametrize("token", [None, "", "x", "é", "x" * 100_000])
def test_a_cookie_changes_nothing_without_its_token(browser: Browser, token: str | None) -> None:
    browser.sign_in(make_key(browser.runtime))
    headers = {} if token is None else {"X-CSRF-Token": token}
    response = browser.client.post("/api/v1/users/me/keys", json={}, headers=headers)
    assert "X-CSRF-Token" in assert_problem(response, 403, "csrf_failed")["detail"]
    assert_problem(browser.client.delete(SESSION, headers=headers), 403, "csrf_failed")
    assert browser.client.get("/api/v1/users/me/keys").get_json()["count"] == 1


def test_another_session_s_token_is_none(browser: Browser) -> None:
    key = make_key(browser.runtime)
    browser.sign_in(key)
    other = Browser(browser.runtime, browser.app)
    other.sign_in(key)
    response = browser.client.post("/api/v1/users/me/keys", json={}, headers=other.csrf)
    assert_problem(response, 403, "csrf_failed")


def test_every_operation_that_changes_something_asks_for_the_token(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stream of events would be read for a minute.
    monkeypatch.setattr(streams, "LIMIT_S", 0.0)
    browser.sign_in(make_key(browser.runtime, "root", is_administrator=True))
    asked = 0
    for method, path, endpoint in every_call(browser.app):
        if endpoint in FREE_ENDPOINTS or endpoint.split(".")[0] in PAGES:
            continue
        response = browser.client.open(path, method=method, buffered=True)
        code = None if method == "HEAD" else (response.get_json(silent=True) or {}).get("code")
        if endpoint.startswith("pages.") and "CSRF" in response.text:
            # A page says it in a sentence.
            code = "csrf_failed"
        is_changing = method not in ("GET", "HEAD")
        assert (code == "csrf_failed") == is_changing, (method, path)
        asked += is_changing
    assert asked > 25
    assert browser.me() == "root"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[x"},
        {"Origin": "https://good.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_a_cookie_never_works_across_origins(
    make_runtime: Callable[..., Runtime], headers: dict[str, str]
) -> None:
    browser = Browser(make_runtime(auth_mode="keys", allowed_origins=("https://good.example",)))
    key = make_key(browser.runtime)
    browser.sign_in(key)
    response = browser.client.get(ME, headers=headers)
    assert_problem(response, 401, "not_authenticated")
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert_problem(
        browser.client.post("/api/v1/users/me/keys", json={}, headers=headers | browser.csrf),
        401,
        "not_authenticated",
    )
    assert_problem(
        browser.client.post(SESSION, json={"key": key}, headers=headers), 403, "not_allowed"
    )
    # A key goes across origins, as it always did.
    assert browser.client.get(ME, headers=headers | {"X-API-Key": key}).status_code == 200
    assert browser.me() == "ana"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://gallery.example"},
    ],
    ids=str,
)
def test_a_cookie_works_for_our_own_pages_behind_a_proxy_too(
    browser: Browser, headers: dict[str, str]
) -> None:
    browser.sign_in(make_key(browser.runtime), headers=headers)
    assert browser.me(**headers) == "ana"
    response = browser.client.post("/api/v1/users/me/keys", json={}, headers=headers | browser.csrf)
    assert response.status_code == 201


@pytest.mark.parametrize("path", [ME, "/api/v1/images", "/api/v1/images/99"])
def test_caches_keep_replies_apart_by_cookie(browser: Browser, path: str) -> None:
    assert "Cookie" in browser.client.get(path).vary
    browser.sign_in(make_key(browser.runtime))
    assert "Cookie" in browser.client.get(path).vary


# AUTH_MODE=open.


def test_in_open_mode_a_browser_signs_in_without_a_key(open_browser: Browser) -> None:
    before = open_browser.client.get(SESSION).get_json()
    assert (before["user"]["username"], before["csrf_token"]) == ("local", None)
    signed_in = open_browser.sign_in(None)
    assert (signed_in["user"]["username"], signed_in["key"]) == ("local", None)
    assert_problem(open_browser.client.put(LABEL, json={}), 403, "csrf_failed")
    response = open_browser.client.put(LABEL, json={}, headers=open_browser.csrf)
    assert response.status_code == 201
    assert open_browser.client.delete(SESSION, headers=open_browser.csrf).status_code == 204
    assert open_browser.me() == "local"


def test_in_open_mode_a_session_is_no_way_round_the_checks_of_host_and_origin(
    open_browser: Browser,
) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        response = open_browser.client.post(SESSION, json={}, headers=headers)
        assert_problem(response, 403, "not_allowed")
    open_browser.sign_in(None)
    open_browser.client.set_cookie(
        sessions.COOKIE, str(open_browser.cookie()), domain="evil.example"
    )
    response = open_browser.client.get(ME, base_url="http://evil.example")
    assert_problem(response, 403, "not_allowed")


def test_a_session_without_a_key_ends_when_keys_are_asked_for(
    make_runtime: Callable[..., Runtime],
) -> None:
    before = Browser(make_runtime(auth_mode="open"))
    before.sign_in(None)
    after = Browser(make_runtime(auth_mode="keys", data_dir=before.runtime.settings.data_dir))
    after.take(str(before.cookie()))
    assert after.me() == "not_authenticated"
    assert after.cookie() is None


# Trouble.


def test_without_a_database_a_session_is_503_and_probes_and_pages_answer(tmp_path: Path) -> None:
    settings = Settings.from_env(
        database_url=f"mysql+pymysql://u:p@127.0.0.1:{free_port()}/mirada",
        data_dir=tmp_path / "data",
        faiss_index_dir=tmp_path / "faiss",
        secret_key="x" * 32,
    )
    browser = Browser(Runtime(settings))
    browser.take("eyJrZXlfaWQiOjF9.aVcz5Q.2P1r0Zk9")
    assert_problem(browser.client.get(ME), 503, "unavailable")
    assert_problem(
        browser.client.post(SESSION, json={"key": "mrd_00000000_" + "x" * 43}), 503, "unavailable"
    )
    assert_problem(browser.client.delete(SESSION), 503, "unavailable")
    for path in ("/docs", "/openapi.json", "/livez", "/", "/assets/docs/swagger-init.js"):
        with browser.client.get(path, buffered=True) as response:
            assert response.status_code == 200, path
            assert "Set-Cookie" not in response.headers
    browser.runtime.close()


def test_a_call_without_a_cookie_asks_for_no_secret(gallery: Gallery) -> None:
    assert gallery.get("/api/v1/images").status_code == 200
    assert "signing_key" not in gallery.runtime.built()
