"""Duplicates by keys in a real browser: choose, keep, undo, and that they are none."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from mirada.runtime import Runtime
from testing.alike import alike
from testing.browsing import visiting
from testing.gallery import Gallery

pytestmark = pytest.mark.browser


def test_groups_are_decided_by_keys_and_undone(
    browser: Browser, address: str, runtime: Runtime, client: Any
) -> None:
    gallery = Gallery(runtime, client)
    groups = [[gallery.upload(degrees=float(n))["id"] for n in range(2)] for _ in range(3)]
    for group in groups:
        alike(gallery, *group)
    with visiting(browser, address) as visit:
        page = visit.go("/ui/duplicates")
        articles = page.locator("article.twins")
        expect(articles).to_have_count(3)
        page.keyboard.press("]")
        expect(articles.nth(0)).to_be_focused()
        page.keyboard.press("2")
        second = articles.nth(0).locator("input[type=radio]").nth(1)
        expect(second).to_be_checked()
        chosen = second.get_attribute("value")
        page.keyboard.press("Enter")
        # It leads to the group behind.
        page.wait_for_url("**undo=**")
        expect(articles).to_have_count(2)
        expect(articles.nth(0)).to_be_focused()
        assert gallery.get(f"/api/v1/images/{chosen}").status_code == 200
        page.keyboard.press("n")
        page.wait_for_url("**kept=**")
        expect(articles).to_have_count(1)
        page.get_by_role("button", name="Undo").click()
        expect(articles).to_have_count(2)
        page.get_by_role("link", name="Keep the best of every group").click()
        page.get_by_role("button", name="Keep the best of every group").click()
        page.wait_for_url("**undo=**")
        expect(articles).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(articles).to_have_count(2)
        visit.require_clean()
