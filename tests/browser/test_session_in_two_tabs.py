"""A session that ends while somebody writes: told, nothing lost, and it goes on after signing in again."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mirada.people import users
from mirada.people.keys import issue as issue_key
from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import as_upload
from testing.pictures import picture
from tests.conftest import MakeRuntime

pytestmark = pytest.mark.browser


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """A server that asks for keys."""
    return make_runtime(auth_mode="keys")


def test_what_is_written_waits_until_one_has_signed_in_again(
    browser: Browser, address: str, runtime: Runtime, client: Any
) -> None:
    with runtime.transaction() as session:
        keys = [issue_key(session, users.create_user(session, name)).key for name in ("ana", "bea")]
    upload = {"file": as_upload(picture(1)), "is_public": "true"}
    headers = {"Authorization": f"Bearer {keys[0]}"}
    image_id = client.post("/api/v1/images", data=upload, headers=headers).get_json()["id"]

    def sign_in(page: Page, key: str) -> None:
        page.goto(f"{address}/ui/sign-in")
        page.locator("input[name=key]").fill(key)
        page.locator("main button").click()
        page.wait_for_url(f"{address}/ui")

    with visiting(browser, address) as visit:
        sign_in(visit.page, keys[0])
        page = visit.go(f"/ui/images/{image_id}")
        page.locator("#comment").fill("half of a thought")
        other = page.context.new_page()
        page.context.clear_cookies()
        page.locator("#comments form.field button").click()
        refusal = page.locator("#comments .error")
        expect(refusal).to_contain_text("not signed in")
        expect(refusal.get_by_role("link")).to_have_attribute("href", "/ui/sign-in")
        # Somebody else signs in: what the first one wrote is not sent in their name.
        sign_in(other, keys[1])
        page.locator("#comments form.field button").click()
        expect(refusal).to_contain_text("CSRF")
        page.context.clear_cookies()
        sign_in(other, keys[0])
        page.locator("#comments form.field button").click()
        expect(page.locator(".comments .written")).to_have_text("half of a thought")
        expect(page.locator(".comments .by bdi")).to_have_text("ana")
