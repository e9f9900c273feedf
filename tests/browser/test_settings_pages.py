"""Settings and Groups as a person uses them, with and without scripts."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import Gallery
from tests.webapp.test_http_clusters import group, words_for

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scripts", [True, False])
def test_a_key_is_made_and_revoked(
    browser: Browser, address: str, client: Any, scripts: bool
) -> None:
    with visiting(browser, address, java_script_enabled=scripts) as visit:
        page = visit.page
        page.goto(f"{address}/ui/settings")
        page.get_by_label("Name, for you alone").fill("a phone")
        page.get_by_label("read", exact=True).check()
        page.locator("#keys ~ form button").click()
        key = page.get_by_label("Key", exact=True).input_value()
        bearing = {"Authorization": f"Bearer {key}"}
        assert client.get("/api/v1/images", headers=bearing).status_code == 200
        assert "mrd_" not in page.url
        page.get_by_role("link", name="Back to the settings").click()
        assert key not in page.content()
        page.locator("li", has_text="a phone").get_by_role("link").click()
        page.get_by_role("button", name="Revoke").click()
        page.wait_for_url("**/ui/settings#keys")
        assert "revoked" in page.locator("li", has_text="a phone").inner_text()
        assert client.get("/api/v1/images", headers=bearing).status_code == 401
        assert (visit.complaints, visit.foreign) == ([], [])


def test_a_group_leads_to_its_pictures(
    browser: Browser, address: str, runtime: Runtime, client: Any
) -> None:
    gallery = Gallery(runtime, client)
    words_for(gallery)
    cats = [gallery.upload(degrees=degrees)["id"] for degrees in (0, 2, 4)]
    for degrees in (80, 84):
        gallery.upload(degrees=degrees)
    group(gallery, kind="themes", k=2)
    with visiting(browser, address) as visit:
        page = visit.go("/ui")
        page.get_by_role("link", name="Groups").click()
        page.get_by_role("link", name="cat", exact=True).click()
        page.locator(".tile").nth(2).wait_for(state="attached")
        shown = page.locator(".tile").evaluate_all("(all) => all.map((one) => +one.dataset.id)")
        assert sorted(shown) == cats
        visit.require_clean()
