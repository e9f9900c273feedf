"""Servers that refuse in the middle, pictures that are gone, clocks elsewhere: pages say so, and go on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from mirada.runtime import Runtime
from testing.browsing import Visit, visiting
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import Gallery
from testing.odd_library import fill, odd_addresses
from testing.patience import PATIENCE_S
from tests.browser.test_explore import fill_with, forget_pictures, scroll_on
from tests.browser.test_map import library

pytestmark = pytest.mark.browser
__all__ = ["library"]
WINDOW = {"width": 900, "height": 600}
REFUSALS = [
    pytest.param(503, "The index is being read.", id="503"),
    pytest.param(429, "Too many calls; again in 3 seconds.", id="429"),
    pytest.param(502, None, id="a proxy's 502"),
    pytest.param(None, None, id="no answer"),
]
"""A status with the sentence of the server; none where it is somebody else's page, or nobody answers."""


def refuse(page: Page, what: re.Pattern[str], status: int | None, says: str | None) -> None:
    """Answer these requests so from now on."""

    def answer(route: Route) -> None:
        if status is None:
            route.abort()
        elif says is None:
            route.fulfill(status=status, body="<h1>Bad Gateway</h1>", content_type="text/html")
        else:
            problem = json.dumps({"status": status, "detail": says})
            route.fulfill(status=status, body=problem, content_type="application/problem+json")

    page.route(what, answer)


@pytest.fixture
def ids(runtime: Runtime, client: Any) -> list[int]:
    """Some pictures, newest first."""
    gallery = Gallery(runtime, client)
    made = [gallery.upload(degrees=float(n * 7), caption=f"picture {n}")["id"] for n in range(6)]
    return made[::-1]


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with visiting(browser, address, viewport=WINDOW, timezone_id="Asia/Tokyo") as visit:
        yield visit


@pytest.mark.parametrize(("status", "says"), REFUSALS)
def test_the_next_page_of_a_list_can_be_had_once_the_server_answers(
    visit: Visit, ids: list[int], monkeypatch: pytest.MonkeyPatch, status: int | None, says: str
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 4)
    refuse(visit.page, re.compile("part=1"), status, says)
    page = visit.go("/ui")
    expect(page.locator("#trouble")).to_have_text(says or re.compile("does not answer"))
    expect(page.locator(".tile")).to_have_count(4)
    page.unroute_all()
    page.locator(".more a").click()
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator("#trouble")).to_be_empty()


@pytest.mark.drill
def test_a_part_of_a_long_list_is_asked_for_again_after_a_rest(
    visit: Visit, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 12)
    with_encoder(runtime, CountingEncoder())
    fill_with(runtime, 240)
    forget_pictures(visit.page)
    page = visit.go("/ui")
    scroll_on(page, 20)
    refuse(page, re.compile("part=1"), 503, "The index is being read.")
    visit.asked.clear()
    page.reload()
    expect(page.locator("#trouble")).to_have_text("The index is being read.")
    for _ in range(8):
        page.mouse.wheel(0, -40)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # Scrolling does not flood a server that is busy.
    assert len([one for one in visit.asked if "part=1" in one]) <= 2
    page.unroute(re.compile("part=1"))
    expect(page.locator('.tile[data-id="12"]')).to_be_attached(timeout=PATIENCE_S * 1_000)
    expect(page.locator("#trouble")).to_be_empty()


@pytest.mark.parametrize(("status", "says"), REFUSALS)
def test_pictures_that_could_not_be_changed_stay_chosen_and_the_reason_is_told(
    visit: Visit, ids: list[int], status: int | None, says: str
) -> None:
    page = visit.go("/ui")
    page.locator(".tile > a").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selected")).to_have_text("2 selected")
    refuse(page, re.compile(r"/api/v1/images/batch$"), status, says)
    page.locator('[data-do="public"]').click()
    expect(page.locator("#notices")).to_contain_text(says or "does not answer")
    expect(page.locator("#notices")).not_to_contain_text("changed")
    expect(page.locator(".tile[data-private]")).to_have_count(6)
    page.unroute_all()
    expect(page.locator("#selected")).to_have_text("2 selected")
    page.locator('[data-do="public"]').click()
    expect(page.locator(".tile[data-private]")).to_have_count(4)


@pytest.mark.parametrize(("status", "says"), REFUSALS)
def test_what_is_seen_of_work_is_said_to_be_old_while_nobody_answers(
    visit: Visit, ids: list[int], status: int | None, says: str
) -> None:
    page = visit.page
    page.clock.install()
    refuse(page, re.compile("/api/v1/events|part=1"), status, says)
    visit.go("/ui/activity")
    page.clock.run_for(30_000)
    told = page.locator("#told")
    expect(told).to_contain_text(says or "The server does not answer.")
    expect(told).to_contain_text("this page asks again by itself")
    page.unroute_all()
    page.clock.run_for(30_000)
    expect(told).not_to_contain_text("asks again by itself")


@pytest.mark.parametrize(("status", "says"), REFUSALS)
def test_a_map_that_cannot_be_had_is_asked_for_again(
    visit: Visit, library: list[int], status: int | None, says: str
) -> None:
    page = visit.page
    page.clock.install()
    refuse(page, re.compile("/map/points/"), status, says)
    visit.go("/ui/map")
    expect(page.locator("#shown")).to_contain_text(says or "does not answer")
    expect(page.locator("#here")).to_contain_text("asked for again")
    page.unroute_all()
    page.clock.run_for(6_000)
    page.locator("#map[data-state=drawn]").wait_for()
    expect(page.locator("#shown")).to_contain_text("12 pictures")


def test_a_picture_that_is_gone_leaves_its_name_and_comes_back(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.page
    page.clock.install()
    page.route(re.compile("/i/|/thumbnail"), lambda route: route.fulfill(status=503))
    visit.go("/ui")
    expect(page.locator(".lost-name")).to_have_count(6)
    expect(page.locator(".lost-name").first).to_have_text("picture 5")
    assert [value for value, _ in visit.shifts()] == []
    assert visit.faults() == []
    page.unroute_all()
    page.clock.run_for(11_000)
    expect(page.locator(".lost-name")).to_have_count(0)
    assert page.locator(".tile img").first.evaluate("one => one.naturalWidth > 0")
    page.route(re.compile("/i/|/thumbnail"), lambda route: route.fulfill(status=404))
    visit.go(f"/ui/images/{ids[0]}")
    expect(page.locator(".stage .lost-name")).to_have_text("picture 5")


def test_times_are_those_of_the_browser_from_its_second_page_on(
    visit: Visit, ids: list[int], client: Any
) -> None:
    client.post(f"/api/v1/images/{ids[0]}/comments", json={"text": "hello"})
    page = visit.go(f"/ui/images/{ids[0]}")
    written = page.locator(".comments time")
    expect(written).to_contain_text("UTC")
    page = visit.go(f"/ui/images/{ids[0]}")
    expect(written).not_to_contain_text("UTC")
    here = written.evaluate(
        "one => new Date(one.dateTime).toLocaleTimeString('en', {timeStyle: 'medium'})"
    )
    assert here.replace("\u202f", " ") in written.inner_text().replace("\u202f", " ")
    visit.require_clean()


@pytest.mark.drill
def test_odd_texts_and_pictures_are_accessible_still_and_within_the_window(
    browser: Browser, address: str, runtime: Runtime, client: Any
) -> None:
    ids = fill(Gallery(runtime, client))
    for path in odd_addresses(ids):
        for width in (1440, 320):
            window = {"width": width, "height": 900}
            with visiting(browser, address, viewport=window) as visit:
                page = visit.page
                page.on("dialog", lambda dialog: pytest.fail(dialog.message))
                visit.go(path)
                visit.complaints = [one for one in visit.complaints if "(503)" not in one]
                assert visit.faults() == [], (path, width)
                assert not visit.is_wider_than_its_window(), (path, width)
                assert sum(value for value, _ in visit.shifts()) <= 0.01, (path, width)
