"""Map in a real browser: drawn, moved by keys, lit by a search, opened, an area chosen; no WebGL2 at all."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

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


# Every step of the zoom, on a crowd: which points have room, and the least distance of two of them in pixels.
ROOM = """async (address) => {
  const { APART, Order, stepOf } = await import(address);
  let seed = 7;
  const chance = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const n = 3000, x = new Uint16Array(n), y = new Uint16Array(n), found = [];
  for (let i = 0; i < n; i++) {
    x[i] = i % 3 ? 30000 + 9000 * chance() : 65535 * chance();
    y[i] = i % 3 ? 20000 + 9000 * chance() : 65535 * chance();
  }
  // Two on one spot: one of them never has room.
  x[1] = x[0]; y[1] = y[0];
  const order = new Order({ n, x, y });
  let before = new Set();
  for (let pixels = 100; pixels < 90000; pixels *= 1.37) {
    const scale = pixels / 65535, step = stepOf(scale);
    let slices = 0;
    do order.reach(step, 0); while (step >= 0 && !order.isDone(step) && ++slices < 1e5);
    const shown = [...order.shown.slice(0, order.reach(step))];
    let least = Infinity;
    for (let a = 0; a < shown.length; a++) for (let b = 0; b < a; b++) {
      const across = Math.abs(x[shown[a]] - x[shown[b]]), down = Math.abs(y[shown[a]] - y[shown[b]]);
      least = Math.min(least, Math.max(across, down) * scale);
    }
    const lost = [...before].filter((i) => !shown.includes(i)).length;
    found.push({ count: shown.length, least: least / APART, lost });
    before = new Set(shown);
  }
  return found;
}"""


def opened(page: Page) -> Page:
    page.locator("#map[data-state=drawn]").wait_for()
    return page


def module(page: Page, name: str) -> str:
    """Return the address of a module of the page."""
    address = page.locator("script[src*='/map.js']").evaluate("(one) => one.src")
    return str(address).replace("/map.js", f"/{name}")


@pytest.mark.usefixtures("library")
def test_no_two_thumbnails_touch_at_any_zoom_and_zooming_in_takes_none_away(
    browser: Browser, address: str
) -> None:
    with visiting(browser, address) as visit:
        page = opened(visit.go("/ui/map"))
        steps = page.evaluate(ROOM, module(page, "map-order.js"))
        assert [step["lost"] for step in steps] == [0] * len(steps)
        assert min(step["least"] for step in steps if step["least"] is not None) >= 1
        counts = [step["count"] for step in steps]
        assert counts == sorted(counts)
        assert counts[-1] > 2_500


def test_an_area_is_drawn_or_taken_by_key_and_leads_to_its_pictures(
    browser: Browser, address: str, library: list[int]
) -> None:
    with visiting(browser, address, viewport={"width": 1440, "height": 900}) as visit:
        page = opened(visit.go("/ui/map"))
        plane, line = page.locator("#map"), page.locator("#area")
        expect(line).to_be_hidden()
        plane.focus()
        page.keyboard.press("a")
        expect(line).to_contain_text("12 in this area")
        page.wait_for_url("**/ui/map?area=*")
        assert visit.faults() == []
        page.keyboard.press("Escape")
        expect(line).to_be_hidden()
        page.wait_for_url("**/ui/map")
        box = plane.bounding_box()
        assert box is not None
        page.get_by_role("button", name="Choose an area").click()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20)
        page.mouse.up()
        expect(line).to_be_visible()
        count = int(line.locator("span").first.inner_text().split()[0])
        assert 0 < count < 12
        opened(visit.go(page.url.removeprefix(address)))
        expect(line).to_contain_text(f"{count} in this area")
        line.get_by_role("link").click()
        page.wait_for_url("**/ui?area=*")
        expect(page.locator("#verdict")).to_contain_text(f"{count} picture")
        shown = page.locator(".tile").evaluate_all("(all) => all.map((one) => +one.dataset.id)")
        assert len(shown) == count
        assert set(shown) <= set(library)


@pytest.mark.usefixtures("library")
def test_a_second_visit_of_the_map_asks_for_no_picture_again(
    browser: Browser, app: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    serve = app.wsgi_app

    def heard(environ: Any, begin: Any) -> Any:
        sent.extend([environ["PATH_INFO"]] if environ["PATH_INFO"].startswith("/i/") else [])
        return serve(environ, begin)

    monkeypatch.setattr(app, "wsgi_app", heard)
    with visiting(browser, address) as visit:
        shown = visit.page.locator("#shown")
        opened(visit.go("/ui/map"))
        expect(shown).not_to_contain_text(" 0 shown")
        first, line = len(sent), shown.inner_text()
        assert first > 0
        opened(visit.go("/ui/map"))
        expect(shown).to_have_text(line)
        assert len(sent) == first
