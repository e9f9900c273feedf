"""Signing in by a form and by a link, and out again, without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from mirada.db.models import ApiKey, utc_now
from mirada.db.sign_in_models import SignInLink
from mirada.departures.ending import end_user
from mirada.kernel.errors import Conflict
from mirada.people import keys, sign_in_links, users
from mirada.people.product import person_of_product
from mirada.runtime import Runtime
from testing.application import create_app
from testing.console import run_command

SIGN_IN = "/ui/sign-in"
HTML = {"Accept": "text/html"}


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    return make_runtime(auth_mode="keys", embeddings_enabled=False)


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return create_app(runtime).test_client()


@pytest.fixture
def key(runtime: Runtime) -> str:
    with runtime.transaction() as session:
        key = users.create_with_key(session, "ana").first_key.key
    assert key is not None
    return key


def enter(client: FlaskClient, key: str, onward: str = "/ui/about", **more: Any) -> Any:
    return client.post(SIGN_IN, data={"key": key, "next": onward}, **more)


def signed_in_as(client: FlaskClient) -> str | None:
    text = client.get("/ui", headers=HTML).text
    found = re.search(r'<span class="name" dir="auto">([^<]*)</span>', text)
    return found[1] if found else None


def token_in(text: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', text)
    assert found
    return found[1]


def test_a_key_in_the_form_signs_in_and_leads_back(client: FlaskClient, key: str) -> None:
    page = client.get(f"{SIGN_IN}?next=/ui/about", headers=HTML)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert 'name="next" value="/ui/about"' in page.text
    reply = enter(client, f"  {key}\n")
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui/about")
    assert signed_in_as(client) == "ana"
    assert "signed in as ana" in client.get(SIGN_IN, headers=HTML).text


def test_signing_out_needs_the_form_of_a_page(client: FlaskClient, key: str) -> None:
    enter(client, key)
    refused = client.post("/ui/sign-out", data={}, headers=HTML)
    assert (refused.status_code, signed_in_as(client)) == (403, "ana")
    csrf = token_in(client.get("/ui", headers=HTML).text)
    reply = client.post("/ui/sign-out", data={"csrf_token": csrf})
    assert (reply.status_code, signed_in_as(client)) == (303, None)


@pytest.mark.parametrize(
    ("wrong", "status"), [("mrd_00000000_" + "x" * 43, 401), ("not a key", 401), (" ", 422)]
)
def test_a_wrong_key_is_told_beside_the_field(
    client: FlaskClient, key: str, wrong: str, status: int
) -> None:
    reply = enter(client, wrong, headers=HTML)
    assert reply.status_code == status
    assert 'role="alert"' in reply.text
    assert 'aria-invalid="true"' in reply.text
    # What was typed is not sent back, and where one was going is kept.
    assert "mrd_0000" not in reply.text
    assert 'name="next" value="/ui/about"' in reply.text
    assert signed_in_as(client) is None


def test_a_key_that_has_ended_is_told_so(client: FlaskClient, runtime: Runtime, key: str) -> None:
    with runtime.transaction() as session:
        found = keys.key_beginning_with(session, key)
        keys.revoke(session, found.user_id, found.id)
    assert "revoked" in enter(client, key, headers=HTML).text


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example/ui",
        "//evil.example/ui",
        "/ui//evil.example",
        "/ui\\evil",
        "/api/v1/images",
        "javascript:alert(1)",
        "/ui/sign-in?next=/ui",
        "",
    ],
)
def test_the_form_leads_to_own_pages_alone(client: FlaskClient, key: str, onward: str) -> None:
    assert enter(client, key, onward).headers["Location"] == "/ui"


def test_a_page_of_another_origin_signs_nobody_in(client: FlaskClient, key: str) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert enter(client, key, headers=headers | HTML).status_code == 403
    assert signed_in_as(client) is None


def test_a_session_that_ended_is_asked_to_sign_in_again(
    client: FlaskClient, runtime: Runtime, key: str
) -> None:
    enter(client, key)
    with runtime.transaction() as session:
        session.query(ApiKey).update({"revoked_at": utc_now()})
    reply = client.get("/ui/about?x=1", headers=HTML)
    assert (reply.status_code, reply.headers["Location"]) == (
        303,
        "/ui/sign-in?next=/ui/about?x%3D1",
    )
    enter(client, key)
    assert client.get(SIGN_IN, headers=HTML).status_code == 200


def test_a_server_that_asks_for_no_key_needs_no_sign_in(
    make_runtime: Callable[..., Runtime],
) -> None:
    client = create_app(make_runtime(embeddings_enabled=False)).test_client()
    page = client.get("/ui", headers=HTML).text
    assert "Sign in" not in page
    assert "Sign out" not in page
    assert "asks for no key" in client.get(SIGN_IN, headers=HTML).text


def test_below_a_path_forms_lead_back_below_it(make_runtime: Callable[..., Runtime]) -> None:
    runtime = make_runtime(auth_mode="keys", script_name="/some", embeddings_enabled=False)
    client = create_app(runtime).test_client()
    page = client.get("/some/ui/about?x=1", headers=HTML).text
    assert 'name="back" value="/some/ui/about?x=1"' in page
    assert 'href="/some/ui/sign-in?next=/some/ui/about?x%3D1"' in page


@pytest.fixture
def link(runtime: Runtime, key: str) -> str:
    output = run_command(runtime, "users", "sign-in-link", "ana").output
    found = re.search(r"^http://127\.0\.0\.1:\d+(/ui/sign-in/[\w-]{43})$", output, re.MULTILINE)
    assert found, output
    return found[1]


def test_a_link_signs_in_once_after_a_click(client: FlaskClient, link: str) -> None:
    for _ in range(3):
        # Programs that look at mails open it as well.
        page = client.get(link, headers=HTML)
        assert (page.status_code, page.headers["Referrer-Policy"]) == (200, "same-origin")
        assert "as ana" in page.text
        assert client.head(link).status_code == 200
    assert signed_in_as(client) is None
    reply = client.post(link)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui")
    assert signed_in_as(client) == "ana"
    for again in (client.get(link, headers=HTML), client.post(link, headers=HTML)):
        assert again.status_code == 404
        assert "signs nobody in" in again.text


def test_a_link_ends_after_ten_minutes(client: FlaskClient, runtime: Runtime, link: str) -> None:
    with runtime.transaction() as session:
        (row,) = session.query(SignInLink)
        assert timedelta(minutes=9) < row.expires_at - utc_now() <= timedelta(minutes=10)
        row.expires_at = utc_now()
    assert client.get(link, headers=HTML).status_code == 404
    assert client.post(link).status_code == 404
    assert signed_in_as(client) is None
    # The next one clears it away.
    run_command(runtime, "users", "sign-in-link", "ana")
    with runtime.reading() as session:
        assert session.query(SignInLink).count() == 1


def test_a_guess_is_told_what_a_used_link_is_told(client: FlaskClient, link: str) -> None:
    client.post(link)
    guesses = [
        f"{SIGN_IN}/{'x' * 43}",
        f"{link[:-1]}",
        f"{link}x",
        f"{SIGN_IN}/%20",
        f"{SIGN_IN}/é",
    ]
    told = {
        client.post(guess, headers=HTML).text.split("<main")[1].split("Request")[0]
        for guess in guesses
    }
    told.add(client.post(link, headers=HTML).text.split("<main")[1].split("Request")[0])
    assert len(told) == 1


def test_the_database_holds_no_token(runtime: Runtime, link: str) -> None:
    with runtime.reading() as session:
        (row,) = session.query(SignInLink)
        assert re.fullmatch(r"[0-9a-f]{64}", row.sha256)


def test_the_key_behind_a_link_ends_with_the_session_and_can_be_revoked(
    client: FlaskClient, runtime: Runtime, link: str
) -> None:
    client.post(link)
    with runtime.transaction() as session:
        found = session.query(ApiKey).filter_by(name=sign_in_links.KEY_NAME).one()
        assert timedelta(hours=11) < found.expires_at - utc_now() <= timedelta(hours=12)
        keys.revoke(session, found.user_id, found.id)
    assert signed_in_as(client) is None


def test_a_link_of_another_origin_s_page_is_not_followed(client: FlaskClient, link: str) -> None:
    assert client.post(link, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(link).status_code == 303


def test_who_was_ended_is_not_signed_in(client: FlaskClient, runtime: Runtime, link: str) -> None:
    with runtime.transaction() as session:
        users.create_user(session, "boss", is_administrator=True)
        end_user(session, users.user_named(session, "ana").id, heir_id=None)
    with runtime.reading() as session:
        assert session.query(SignInLink).count() == 0
    assert client.post(link).status_code == 404


def test_nobody_and_people_of_the_product_get_no_link(runtime: Runtime) -> None:
    assert run_command(runtime, "users", "sign-in-link", "nobody").exit_code == 1
    person = person_of_product(runtime.database, "p-1")
    with runtime.transaction() as session, pytest.raises(Conflict):
        sign_in_links.issue(session, person)
