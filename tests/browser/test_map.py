"""Map in a real browser: drawn, moved by keys, lit by a search, opened, and with no WebGL2 at all."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from mirada.adapters.projection.components import ComponentsProjection
from mirada.groups import map_rows
from mirada.runtime import Runtime
from testing.browsing import visiting
from testing.gallery import Gallery
from workers.runner import run_job

pytestmark = pytest.mark.browser
NO_WEBGL = """
  const original = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    return kind === "webgl2" ? null : original.call(this, kind, ...more);
  };
"""


@pytest.fixture
def library(runtime: Runtime, client: Any) -> list[int]:
    """Twelve pictures on a map."""
    runtime.remember("projection", ComponentsProjection())
    gallery = Gallery(runtime, client)
    found = [gallery.upload(degrees=float(n * 7), is_public="true")["id"] for n in range(12)]
    with runtime.transaction() as session:
        job = map_rows.request_map(session)
    assert run_job(runtime, job.id)
    return found


@pytest.mark.parametrize("has_webgl", [True, False])
def test_the_map_is_drawn_moved_and_opened_by_keys(
    browser: Browser, address: str, library: list[int], has_webgl: bool
) -> None:
    with visiting(browser, address, viewport={"width": 1440, "height": 900}) as visit:
        if not has_webgl:
            visit.page.add_init_script(NO_WEBGL)
        page = visit.go("/ui/map")
        page.locator("#map[data-state=drawn]").wait_for()
        assert visit.faults() == []
        assert not visit.is_wider_than_its_window()
        assert page.locator("#shown").inner_text().startswith("12 pictures")
        page.locator("#map").focus()
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**/ui/map?x=*&y=*&zoom=1.50")
        page.keyboard.press("0")
        page.wait_for_url("**/ui/map")
        # Software drivers say that they are slow when the canvas is copied; that is no fault of the page.
        visit.complaints = [one for one in visit.complaints if "GL Driver Message" not in one]
        visit.require_clean()
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/images/*")
        assert int(page.url.rsplit("/", 1)[1].split("?")[0]) in library


def test_a_search_lights_up_the_map_and_the_address_keeps_it(
    browser: Browser, address: str, library: list[int]
) -> None:
    with visiting(browser, address, viewport={"width": 390, "height": 844}) as visit:
        page = visit.go(f"/ui/map?plus={library[0]}&zoom=2&x=0.5&y=0.5")
        page.locator("#map[data-state=drawn]").wait_for()
        assert page.locator("#lit").get_attribute("data-lit") is not None
        assert not visit.is_wider_than_its_window()
        page.locator("#search .chip .drop").click()
        page.wait_for_url("**/ui/map")
        assert page.locator("#lit").get_attribute("data-lit") is None
        visit.require_clean()
