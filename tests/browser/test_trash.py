"""Deleting in a real browser: the way back to the list, Undo, and the picture in the trash."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import Gallery

pytestmark = pytest.mark.browser


def test_a_picture_goes_to_the_trash_comes_back_and_is_erased(
    browser: Browser, address: str, runtime: Runtime, client: Any
) -> None:
    gallery = Gallery(runtime, client)
    ids = [gallery.upload(caption=f"picture {n}", degrees=float(n))["id"] for n in range(3)]
    tile = f"#i{ids[1]}"
    with visiting(browser, address) as visit:
        page = visit.go("/ui?sort=oldest")
        page.locator(f"{tile} > a").click()
        page.wait_for_url(f"**/ui/images/{ids[1]}?sort=oldest")
        page.locator("#delete").click()
        page.wait_for_url(f"**/ui?sort=oldest&trashed={ids[1]}")
        expect(page.locator(".tile")).to_have_count(2)
        page.get_by_role("button", name="Undo").click()
        page.wait_for_url(f"**/ui?sort=oldest{tile}")
        page.locator(f"{tile} > a").click()
        page.locator("#delete").click()
        page.locator(".put-away a").click()
        page.wait_for_url("**/ui/trash")
        picture = page.locator(".thrown img")
        expect(picture).to_have_js_property("complete", value=True)
        assert picture.evaluate("(image) => image.naturalWidth") > 0
        page.get_by_role("link", name="Erase now").click()
        page.get_by_role("button", name="Erase for good").click()
        expect(page.get_by_text("The trash is empty.")).to_be_visible()
        visit.require_clean()
