"""A session in a real browser: out of scripts' reach, and of no use to pages of another origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import request
from playwright.sync_api import Browser
from werkzeug.wrappers import Response

from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.app_server import served
from testing.application import create_app

pytestmark = pytest.mark.browser

SIGN_IN = """async (key) => {
  const reply = await fetch("/api/v1/session", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({key})
  });
  return (await reply.json()).csrf_token;
}"""
CALL = """async ([address, options]) => {
  try {
    return (await fetch(address, options)).status;
  } catch (error) {
    return error.name;
  }
}"""


def test_a_page_of_ours_signs_in_and_changes_something_with_the_token(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/docs")
    token = page.evaluate(SIGN_IN)
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
        "mirada_session",
        True,
        "Lax",
    )

    def sign_out(headers: dict[str, str]) -> Any:
        return page.evaluate(CALL, ["/api/v1/session", {"method": "DELETE", "headers": headers}])

    assert sign_out({}) == 403
    assert sign_out({"X-CSRF-Token": token}) == 204
    assert page.context.cookies() == []
    page.close()


def test_the_documentation_page_sends_the_token_of_a_browser_that_is_signed_in(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/docs")
    page.evaluate(SIGN_IN)
    page.click("#operations-tag-session")
    page.click("#operations-session-signOut .opblock-summary")
    page.click("#operations-session-signOut button.execute")
    page.wait_for_selector("#operations-session-signOut .live-responses-table")
    assert "204" in page.inner_text("#operations-session-signOut .live-responses-table")
    page.close()


def test_a_page_of_another_origin_gets_nothing_out_of_a_session(
    browser: Browser, make_runtime: Callable[..., Runtime]
) -> None:
    runtime = make_runtime(auth_mode="keys")
    with runtime.transaction() as session:
        key = str(issue_key(session, users.create_user(session, "ana")).key)
    other = Response("<!doctype html><title>elsewhere</title>", mimetype="text/html")
    app, came = create_app(runtime), []

    @app.after_request
    def remember(reply: Any) -> Any:
        came.append((request.method, "mirada_session" in request.cookies, reply.status_code))
        return reply

    # For cookies another port is the same site: SameSite alone would let them through.
    with served(app) as address, served(other) as elsewhere:
        page = browser.new_page()
        page.goto(f"{address}/docs")
        page.evaluate(SIGN_IN, key)
        assert page.evaluate(CALL, ["/api/v1/users/me", {}]) == 200
        page.goto(elsewhere)
        came.clear()
        me, retry = f"{address}/api/v1/users/me", f"{address}/api/v1/jobs/1/retry"
        blind = {"credentials": "include", "mode": "no-cors"}
        assert page.evaluate(CALL, [me, {"credentials": "include"}]) == "TypeError"
        # Not even an unreadable reply: Cross-Origin-Resource-Policy keeps it from the page.
        assert page.evaluate(CALL, [me, blind]) == "TypeError"
        assert page.evaluate(CALL, [retry, blind | {"method": "POST"}]) == "TypeError"
        page.close()
    # The cookie came each time, and counted for nothing.
    assert came == [("GET", True, 401), ("GET", True, 401), ("POST", True, 401)]
