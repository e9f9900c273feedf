"""Packs as a person makes one: pictures selected, put in order by keys, checked, one taken out and back."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import Gallery

pytestmark = pytest.mark.browser
PICTURES = 6


@pytest.fixture
def ids(runtime: Runtime, client: Any) -> list[int]:
    gallery = Gallery(runtime, client)
    return [gallery.upload(caption=f"cat {n}", degrees=float(n * 5))["id"] for n in range(PICTURES)]


def order(page: Page) -> list[str]:
    """Return the pictures of the open pack in their order."""
    return page.locator("#pictures .picture img").evaluate_all("(all) => all.map((one) => one.alt)")


def drag(page: Page, image_id: int, before_id: int) -> None:
    """Drag a picture to the left half of another one, as far as the page has a part in it."""
    target = page.locator(f"#picture-{before_id}")
    box = target.bounding_box()
    assert box is not None
    data = page.evaluate_handle("new DataTransfer()")
    at = {"dataTransfer": data, "clientX": box["x"] + 4, "clientY": box["y"] + 40}
    page.locator(f"#picture-{image_id} img").dispatch_event("dragstart", {"dataTransfer": data})
    target.dispatch_event("dragover", at)
    expect(page.locator(".member.before")).to_have_attribute("data-id", str(before_id))
    target.dispatch_event("drop", at)
    page.locator(f"#picture-{image_id}").dispatch_event("dragend", {"dataTransfer": data})


def test_five_pictures_become_a_pack_that_is_put_in_order_and_checked(
    browser: Browser, address: str, ids: list[int]
) -> None:
    with visiting(browser, address) as visit:
        page = visit.go("/ui?sort=oldest")
        for image_id in ids[:5]:
            page.locator(f"#i{image_id} > a").focus()
            page.keyboard.press("x")
        page.locator('[data-do="pack"]').click()
        page.get_by_label("Title of the new pack").fill("Cats & more")
        page.locator("#pack-form-add").click()
        expect(page.locator("#notices")).to_contain_text("5 are in the pack.")

        page.get_by_role("contentinfo").get_by_role("link", name="Packs").click()
        page.get_by_role("link", name="Cats & more").click()
        page.locator("#pictures").wait_for()
        assert order(page) == [f"cat {n}" for n in range(5)]

        # By keys: the focus goes along with the picture, and it is said where it is.
        page.locator(f"#picture-{ids[0]}").focus()
        page.keyboard.press(">")
        expect(page.locator("#told")).to_contain_text("It is at place 2 now.")
        page.keyboard.press(".")
        expect(page.locator("#told")).to_contain_text("It is at place 3 now.")
        assert page.evaluate("document.activeElement.id") == f"picture-{ids[0]}"
        assert order(page) == ["cat 1", "cat 2", "cat 0", "cat 3", "cat 4"]
        # What is typed into one form stays while another one answers.
        page.locator("#change summary").click()
        page.get_by_label("Description").fill("Not saved yet")
        page.locator(f"#remove-{ids[1]}").click()
        expect(page.locator("#told")).to_contain_text("1 picture was taken out of the pack.")
        assert page.evaluate("document.activeElement.id") == "undo"
        assert order(page) == ["cat 2", "cat 0", "cat 3", "cat 4"]
        expect(page.get_by_label("Description")).to_have_value("Not saved yet")
        page.locator("#undo").click()
        expect(page.locator("#pictures .picture img")).to_have_count(5)
        assert order(page) == ["cat 1", "cat 2", "cat 0", "cat 3", "cat 4"]

        page.locator('a[href*="export=whatsapp"]').click()
        expect(page.locator("#export-whatsapp")).to_contain_text("5 things keep it")
        for image_id in ids[:5]:
            page.locator(f"#give-{image_id}").fill("😀")
        page.locator("#give-all").click()
        expect(page.locator("#export-whatsapp")).to_contain_text("5 stickers, all well.")
        with page.expect_download() as download:
            page.locator('#export button[value="whatsapp"]').click()
        assert download.value.suggested_filename == "Cats---more.zip"
        assert visit.faults() == []
        visit.require_clean()


def test_what_is_selected_goes_to_the_trash_and_comes_back(
    browser: Browser, address: str, ids: list[int]
) -> None:
    with visiting(browser, address) as visit:
        page = visit.go("/ui?sort=oldest")
        for image_id in ids[:2]:
            page.locator(f"#i{image_id} > a").focus()
            page.keyboard.press("x")
        page.locator('[data-do="delete"]').click()
        expect(page.locator(".tile")).to_have_count(4)
        expect(page.locator("#selection")).to_be_hidden()
        assert page.evaluate("document.activeElement.closest('.tile').dataset.id") == str(ids[2])
        page.locator("#notices").get_by_role("button", name="Undo").click()
        expect(page.locator(".tile")).to_have_count(6)
        visit.require_clean()


def test_a_picture_is_dragged_to_its_place(
    browser: Browser, address: str, ids: list[int], client: Any
) -> None:
    made = client.post("/api/v1/packs", json={"title": "Cats"}).get_json()
    client.post(made["images_url"], json={"image_ids": ids[:5]})
    with visiting(browser, address) as visit:
        page = visit.go(f"/ui/packs/{made['id']}")
        drag(page, ids[4], ids[1])
        expect(page.locator("#told")).to_contain_text("It is at place 2 now.")
        assert order(page) == ["cat 0", "cat 4", "cat 1", "cat 2", "cat 3"]
        visit.require_clean()
