"""Explore as a person uses it: pictures as questions, filters, a selection, long lists, and troubles."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import update

from mirada.db.models import ApiKey, utc_now
from mirada.people import keys, users
from mirada.runtime import Runtime
from testing.application import create_app
from testing.browsing import Visit, visiting
from testing.encoders import CountingEncoder, with_encoder
from testing.filled import fill
from testing.gallery import as_upload
from testing.pictures import picture
from tests.conftest import MakeRuntime

pytestmark = pytest.mark.browser
PICTURES = 7
WINDOW = {"width": 900, "height": 600}


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    """With an encoder that takes any picture."""
    runtime = with_encoder(make_runtime(), CountingEncoder())
    runtime.space()
    return runtime


@pytest.fixture
def app(runtime: Runtime) -> Any:
    return create_app(runtime)


@pytest.fixture
def ids(app: Any) -> list[int]:
    """Some private pictures of one's own, newest first; all but the first are wide."""
    client, found = app.test_client(), []
    for number in range(PICTURES):
        size = (64, 48) if number else (48, 64)
        data = {"file": as_upload(picture(number, size=size)), "caption": f"picture {number}"}
        reply = client.post("/api/v1/images", data=data | {"is_public": "false"})
        found.append(int(reply.get_json()["id"]))
    return found[::-1]


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with visiting(browser, address, viewport=WINDOW) as visit:
        yield visit


def shown(page: Page) -> list[int]:
    """Return the ids of the tiles in the document, in their order."""
    return [int(one.get_attribute("data-id") or 0) for one in page.locator(".tile").all()]


def at(page: Page) -> int:
    """Return the id of the tile that has the focus."""
    return int(page.evaluate("Number(document.activeElement.closest('.tile')?.dataset.id ?? 0)"))


def bring(page: Page, event: str, numbers: list[int], onto: str = "body") -> None:
    """Paste or drop pictures onto an element, as a browser tells of it."""
    bodies = [base64.b64encode(picture(number)).decode() for number in numbers]
    page.evaluate(
        """([event, bodies, onto]) => {
          const carried = new DataTransfer();
          for (const body of bodies) {
            const bytes = Uint8Array.from(atob(body), (one) => one.charCodeAt(0));
            carried.items.add(new File([bytes], "one.png", {type: "image/png"}));
          }
          const target = document.querySelector(onto);
          const how = {bubbles: true, cancelable: true};
          target.dispatchEvent(event === "paste"
            ? new ClipboardEvent(event, {...how, clipboardData: carried})
            : new DragEvent(event, {...how, dataTransfer: carried}));
        }""",
        [event, bodies, onto],
    )


def test_a_picture_is_asked_with_by_choice_paste_and_drop_and_stays_in_the_address(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go("/ui?kind=still")
    file = {"name": "one.png", "mimeType": "image/png", "buffer": picture(50)}
    page.set_input_files("#picture-file", [file])
    page.wait_for_url("**/ui?kind=still&plus=p1")
    expect(page.locator(".chip img")).to_have_attribute("src", "/api/v1/query-pictures/1/thumbnail")
    bring(page, "paste", [51])
    page.wait_for_url(re.compile("plus=p1.*plus=p2$"))
    bring(page, "dragenter", [52])
    expect(page.locator("#halves")).to_be_visible()
    bring(page, "drop", [52], '[data-half="find"]')
    page.wait_for_url(re.compile("plus=p1.*plus=p2.*plus=p3$"))
    page.reload()
    expect(page.locator(".chip")).to_have_count(3)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(2)
    removing = page.get_by_role("link", name="your picture: Remove this picture from the search")
    expect(removing).to_have_count(2)
    # Turned to less, and removed again by Backspace at the start of the box.
    page.locator(".chip .sign").last.click()
    page.wait_for_url(re.compile("minus=p2"))
    page.locator("#q").press("Backspace")
    page.wait_for_url(re.compile(r"plus=p1(?!.*p2)"))
    visit.require_clean()


def test_several_pasted_pictures_and_what_is_no_picture_are_told(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go("/ui")
    bring(page, "paste", [1, 2])
    expect(page.locator("#notices")).to_contain_text("Only one picture at a time")
    file = {"name": "one.txt", "mimeType": "text/plain", "buffer": b"words"}
    page.set_input_files("#picture-file", [file])
    expect(page.locator("#notices")).to_contain_text("This is no picture")
    assert page.url.endswith("/ui")


def test_a_picture_is_asked_with_without_a_script(
    browser: Browser, address: str, ids: list[int]
) -> None:
    with visiting(browser, address, java_script_enabled=False) as visit:
        page = visit.page
        page.goto(f"{address}/ui")
        send = page.get_by_role("button", name="Find pictures like it")
        expect(send).to_be_hidden()
        file = {"name": "one.png", "mimeType": "image/png", "buffer": picture(50)}
        page.set_input_files("#picture-file", [file])
        send.click()
        page.wait_for_url("**/ui?plus=p1")
        page.get_by_role("link", name="Filters").click()
        page.get_by_label("Landscape").check()
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**/ui?plus=p1&shape=landscape&filters=true")
        assert page.locator(".asked li").count() == 1


def test_filters_narrow_at_once_and_the_focus_stays(visit: Visit, ids: list[int]) -> None:
    page = visit.go("/ui")
    page.get_by_role("link", name="Filters").click()
    page.get_by_label("Portrait").check()
    page.wait_for_url("**/ui?shape=portrait")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.get_by_label("Portrait")).to_be_focused()
    expect(page.locator("#verdict")).to_have_text("1 picture")
    # Closed, the panel still asks for what was chosen.
    page.get_by_role("link", name="Filters").click()
    expect(page.locator(".panel")).to_have_count(0)
    page.locator("#q").fill("-")
    page.locator("#q").fill("")
    page.locator("#q").press("Enter")
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("link", name="Without this filter: Portrait").click()
    expect(page.locator(".tile")).to_have_count(PICTURES)
    page.get_by_title("Small").click()
    expect(page.locator("#grid")).to_have_attribute("data-density", "compact")
    heights = page.evaluate(
        "[...document.querySelectorAll('.tile')].map((one) => one.offsetHeight)"
    )
    assert max(heights) < 150
    visit.require_clean()


HOLD_THE_PANEL = """() => {
  const real = window.fetch;
  window.fetch = async (address, ...more) => {
    const isPanel = String(address?.url ?? address).includes("part=filters");
    if (isPanel) {
      document.documentElement.dataset.panel = "asked for";
      await new Promise((done) => { window.letThePanelCome = done; });
    }
    const reply = await real(address, ...more);
    if (isPanel) {
      const read = reply.text.bind(reply);
      // Said after whoever reads it has done so.
      reply.text = async () => {
        const text = await read();
        setTimeout(() => { document.documentElement.dataset.panel = "there"; });
        return text;
      };
    }
    return reply;
  };
}"""


def test_a_panel_that_is_closed_while_its_counts_are_made_stays_closed(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go("/ui")
    to_filters = page.get_by_role("link", name="Filters")
    to_filters.click()
    expect(page.locator(".panel")).to_have_count(1)
    page.evaluate(HOLD_THE_PANEL)
    page.get_by_label("Portrait").check()
    expect(page.locator("html")).to_have_attribute("data-panel", "asked for")
    to_filters.click()
    expect(page.locator(".panel")).to_have_count(0)
    page.evaluate("window.letThePanelCome()")
    expect(page.locator("html")).to_have_attribute("data-panel", "there")
    expect(page.locator(".panel")).to_have_count(0)
    expect(to_filters).to_have_attribute("aria-expanded", "false")


def test_pictures_are_selected_by_keys_clicks_and_ranges_and_changed_together(
    visit: Visit, ids: list[int], app: Any
) -> None:
    client = app.test_client()

    def public() -> set[int]:
        found = client.get("/api/v1/images?visibility=public").get_json()["results"]
        return {int(one["id"]) for one in found}

    def tagged() -> set[int]:
        found = client.get("/api/v1/images?tag=blue%20cat").get_json()["results"]
        return {int(one["id"]) for one in found}

    page = visit.go("/ui")
    chosen = page.locator(".tile.chosen")
    page.locator(".tile > a").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(chosen).to_have_count(3)
    expect(page.locator("#selected")).to_have_text("3 selected")
    page.locator(".tile").nth(4).locator("img").click(modifiers=["Shift"])
    expect(chosen).to_have_count(5)
    page.locator(".tile").nth(1).locator(".choose input").uncheck()
    expect(chosen).to_have_count(4)
    assert visit.faults() == []
    wanted = {ids[0], ids[2], ids[3], ids[4]}
    page.get_by_role("button", name="Public").click()
    expect(page.locator("#notices")).to_contain_text("4 changed.")
    assert public() == wanted
    expect(page.locator(".tile .locked")).to_have_count(PICTURES - 4)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile .locked")).to_have_count(PICTURES)
    assert public() == set()
    # Tags go on in the same way, and on all of one's own in the list.
    page.get_by_label("New tags").fill("red, blue cat")
    page.get_by_role("button", name="Add tags").click()
    expect(page.locator("#notices")).to_contain_text("4 changed.")
    assert tagged() == wanted
    page.get_by_role("button", name="All of mine in this list").click()
    expect(page.locator("#selected")).to_have_text(re.compile("All( 7)? of yours in this list"))
    page.get_by_label("New tags").fill("blue cat")
    page.get_by_role("button", name="Add tags").click()
    expect(page.locator("#notices")).to_contain_text(f"{PICTURES} changed.")
    assert tagged() == set(ids)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#notices")).to_contain_text("Undone")
    assert tagged() == wanted
    page.get_by_role("button", name="Select all shown").click()
    expect(chosen).to_have_count(PICTURES)
    page.locator(".tile > a").nth(2).focus()
    page.keyboard.press("Escape")
    expect(chosen).to_have_count(0)
    expect(page.locator("#selection")).to_be_hidden()
    assert page.url.endswith("/ui")
    visit.require_clean()


def test_a_long_press_opens_what_a_tile_can_do(
    browser: Browser, address: str, ids: list[int]
) -> None:
    narrow = {"width": 390, "height": 800}
    with visiting(browser, address, viewport=narrow, has_touch=True, is_mobile=True) as visit:
        page = visit.go("/ui")
        tile = page.locator(".tile").nth(1)
        for name in ("pointerdown", "contextmenu", "pointerup", "click"):
            tile.locator("img").dispatch_event(name, {"pointerType": "touch"})
        menu = page.get_by_role("dialog")
        expect(menu).to_contain_text("picture 5")
        assert visit.faults() == []
        menu.get_by_role("button", name="Select").click()
        expect(page.locator(".tile.chosen")).to_have_count(1)
        # With something chosen a tap chooses, and opens nothing.
        page.locator(".tile").nth(2).tap()
        expect(page.locator(".tile.chosen")).to_have_count(2)
        assert not visit.is_wider_than_its_window()
        page.get_by_role("button", name="Clear").click()
        for name in ("pointerdown", "contextmenu"):
            tile.locator("img").dispatch_event(name, {"pointerType": "touch"})
        menu.get_by_role("link", name="More like this").click()
        page.wait_for_url(f"**/ui?plus={ids[1]}")


def test_a_slow_typists_outdated_requests_are_cancelled_and_the_last_is_shown(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go("/ui")
    held: list[Route] = []
    cancelled: list[str] = []
    page.on("requestfailed", lambda request: cancelled.append(request.url))

    def answer(route: Route) -> None:
        if "q=picture+" in route.request.url:
            route.continue_()
        else:
            held.append(route)

    page.route(re.compile("part=1"), answer)
    box = page.locator("#q")
    for text in ("pi", "pict"):
        with page.expect_request(re.compile(rf"/ui\?q={text}&")):
            box.fill(text)
    with page.expect_response(re.compile(r"q=picture\+5")):
        box.fill("picture 5")
    page.wait_for_url("**/ui?q=picture+5")
    expect(page.locator("#verdict")).to_contain_text("clear match")
    expect(page.locator("#grid.late")).to_have_count(0)
    assert [re.search("q=([^&]+)", url)[1] for url in cancelled] == ["pi", "pict"]  # type: ignore[index]
    assert len(held) == 2


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (503, "The index is being read."),
        (429, "Too many calls; again in 3 seconds."),
        (401, "The session is over."),
    ],
)
def test_what_goes_wrong_while_typing_is_said_and_loses_nothing(
    visit: Visit, ids: list[int], status: int, says: str
) -> None:
    page = visit.go("/ui")
    problem = json.dumps({"status": status, "detail": says})
    page.route(
        re.compile("part=1"),
        lambda route: route.fulfill(
            status=status, body=problem, content_type="application/problem+json"
        ),
    )
    page.locator("#q").press_sequentially("picture 3")
    expect(page.locator("#trouble")).to_have_text(says)
    assert page.locator("#q").input_value() == "picture 3"
    expect(page.locator(".tile")).to_have_count(PICTURES)
    page.unroute_all()
    page.locator("#q").press("Enter")
    page.wait_for_url("**/ui?q=picture+3")
    expect(page.locator("#trouble")).to_be_empty()


@pytest.mark.parametrize("how", ["the key is revoked", "the cookie is over"])
def test_a_session_that_ends_while_typing_leads_to_signing_in_with_what_was_written(
    browser: Browser, make_runtime: MakeRuntime, serve: Any, how: str
) -> None:
    runtime = with_encoder(make_runtime(auth_mode="keys"), CountingEncoder())
    runtime.space()
    with runtime.transaction() as session:
        key = keys.issue(session, users.create_user(session, "ana")).key
    with serve(create_app(runtime)) as address, visiting(browser, address) as visit:
        page = visit.page
        reply = page.request.post(f"{address}/api/v1/session", data={"key": key})
        assert reply.ok
        visit.go("/ui")
        if how == "the cookie is over":
            page.context.clear_cookies()
        else:
            with runtime.transaction() as session:
                session.execute(update(ApiKey).values(revoked_at=utc_now()))
        page.locator("#q").press_sequentially("red heart")
        page.get_by_role("link", name="Sign in again").click()
        page.wait_for_url("**/ui/sign-in?next=*")
        assert "q%3Dred%2Bheart" in page.url


def fill_with(runtime: Runtime, count: int) -> None:
    """Put so many pictures into the library, without any intake."""
    space_id, space = runtime.space()
    drawn = np.random.default_rng(0).normal(size=(count, space.dimension)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    fill(runtime.database, runtime.settings.image_dir, space_id, vectors)


def forget_pictures(page: Page) -> None:
    """Answer each thumbnail with one, so that no test waits for copies to be made."""
    body = picture(1)
    page.route(
        re.compile("/thumbnail"),
        lambda route: route.fulfill(status=200, body=body, content_type="image/png"),
    )


def scroll_on(page: Page, sections: int) -> list[int]:
    """Scroll until so many sections were loaded, or all; return how many tiles stood there each time."""
    counts = []
    while (loaded := page.locator(".section").count()) < sections and page.locator(".more").count():
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.locator(".section").nth(loaded).wait_for(state="attached")
        counts.append(page.locator(".tile").count())
    return counts


def test_back_from_a_picture_leads_to_its_place_in_the_list(
    visit: Visit, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 12)
    fill_with(runtime, 240)
    forget_pictures(visit.page)
    page = visit.go("/ui")
    scroll_on(page, 20)
    target = page.locator('.tile[data-id="60"]')
    page.evaluate("scrollTo(0, document.body.scrollHeight * .72)")
    target.wait_for(state="attached")
    target.locator("a").first.focus()
    where, height = page.evaluate("[scrollY, document.body.scrollHeight]")
    filled = page.locator(".tile").count()
    assert filled < 240
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/images/60*")
    page.go_back()
    expect(page.locator('.tile[data-id="60"] > a')).to_be_focused()
    again, same = page.evaluate("[scrollY, document.body.scrollHeight]")
    assert (again, same) == (pytest.approx(where, abs=2), pytest.approx(height, abs=2))
    page.keyboard.press("ArrowRight")
    assert at(page) == 59
    # Everything is there once, from the first to the last.
    page.keyboard.press("Home")
    expect(page.locator('.tile[data-id="240"] > a')).to_be_focused()


@pytest.mark.drill
def test_five_thousand_pictures_stay_six_hundred_in_the_document(
    visit: Visit, runtime: Runtime
) -> None:
    fill_with(runtime, 5_000)
    forget_pictures(visit.page)
    page = visit.go("/ui")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def heap_mb() -> float:
        devtools.send("HeapProfiler.collectGarbage")
        found = devtools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in found if one["name"] == "JSHeapUsedSize")) / 1e6

    counts, heaps = [], []
    for sections in (25, 84):
        counts += scroll_on(page, sections)
        heaps.append(heap_mb())
    assert page.locator(".section").count() == 84
    assert max(counts) <= 600
    assert heaps[1] < heaps[0] + 8, heaps
    # Back at the top and once more down: what was dropped is asked for again.
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".tile").first).to_have_attribute("data-id", "5000")
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    middle = page.evaluate_handle(
        "[...document.querySelectorAll('.section')].find((one) => one.getBoundingClientRect().bottom > 300)"
    )
    middle.as_element().wait_for_selector(".tile", state="attached")  # type: ignore[union-attr]
    assert page.locator(".tile").count() <= 600
    visit.require_clean()
