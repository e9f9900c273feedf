"""The search box as a combobox: suggestions by keys and pointer, and never those of an older text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from mirada.jobs import sweep
from mirada.runtime import Runtime
from testing.application import create_app
from testing.browsing import Visit, visiting
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.patience import wait_until
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

pytestmark = pytest.mark.browser
PROMPTS = ("a lighthouse at night", "a lantern by the lighthouse", "a zebra")


@pytest.fixture
def runtime(make_runtime: MakeRuntime) -> Runtime:
    runtime = with_encoder(make_runtime(), CountingEncoder())
    runtime.space()
    return runtime


@pytest.fixture
def app(runtime: Runtime) -> Any:
    app = create_app(runtime)
    for number, prompt in enumerate(PROMPTS):
        data = {"file": as_upload(picture(number)), "prompt": prompt}
        assert app.test_client().post("/api/v1/images", data=data).status_code == 201
    with runtime.reading() as session:
        due = sweep.due_jobs(session)
    for job in due:
        run_job(runtime, job.id)
    return app


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with visiting(browser, address, viewport={"width": 900, "height": 600}) as visit:
        yield visit


def options(page: Page) -> Any:
    return page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def test_a_word_is_completed_by_keys_and_remembered_until_it_is_erased(visit: Visit) -> None:
    page = visit.go("/ui")
    box = page.locator("#q")
    page.keyboard.press("/")
    page.keyboard.type("red li")
    expect(options(page).first).to_contain_text("red lighthouse")
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator("form#search [role=status]")).to_have_text(re.compile(r"suggestion"))
    assert visit.faults() == []
    page.keyboard.press("ArrowDown")
    expect(options(page).first).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    # Up from the first, around to the last, and down again past it closes the list.
    page.keyboard.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(box).to_have_value("red li")
    with page.expect_request(lambda one: one.url.endswith("/recent-searches")):
        page.keyboard.type("g")
        expect(options(page).first).to_contain_text("red lighthouse")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"q=red\+lighthouse"))
    expect(box).to_have_value("red lighthouse")
    expect(box).to_have_attribute("aria-expanded", "false")
    page.goto(visit.address + "/ui")
    box.click()
    expect(options(page).first).to_contain_text("searched before")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    expect(options(page).filter(has_text="searched before")).to_have_count(0)
    visit.require_clean()


def test_arrow_down_past_the_suggestions_leads_to_the_pictures(visit: Visit) -> None:
    page = visit.go("/ui")
    page.locator("#q").press_sequentially("zeb")
    expect(options(page)).to_have_count(1)
    # The pictures of these words are there, so nothing moves the focus any more.
    expect(page).to_have_url(re.compile("q=zeb"))
    expect(page.locator("#grid")).not_to_have_class(re.compile("late"))
    page.keyboard.press("ArrowDown")
    expect(options(page).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".tile > a").first).to_be_focused()


def test_a_suggestion_is_taken_with_a_click(visit: Visit) -> None:
    page = visit.go("/ui/about")
    page.locator("#q").click()
    page.keyboard.type("lante")
    options(page).first.click()
    expect(page).to_have_url(re.compile(r"/ui\?q=lantern"))


def test_answers_to_what_a_slow_typist_wrote_before_are_never_shown(visit: Visit) -> None:
    page = visit.go("/ui")
    held: list[Route] = []
    page.route("**/api/v1/suggestions*", lambda route: held.append(route))

    def answer(route: Route, text: str) -> None:
        body = {"results": [{"kind": "word", "text": text, "id": None}], "count": 1}
        # The page may have let go of it.
        with contextlib.suppress(Error):
            route.fulfill(json=body)

    page.locator("#q").focus()
    for number, letter in enumerate("lig", start=1):
        page.keyboard.type(letter)
        wait_until(lambda n=number: page.evaluate("0") == 0 and len(held) == n, what=letter)  # type: ignore[misc]
    assert [route.request.url.partition("q=")[2].partition("&")[0] for route in held] == [
        *("l", "li", "lig")
    ]
    answer(held[2], "of lig")
    expect(options(page)).to_have_text([re.compile("of lig")])
    for route in held[:2]:
        answer(route, "of before")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(options(page)).to_have_text([re.compile("of lig")])


def test_without_javascript_the_box_is_a_plain_one(browser: Browser, address: str) -> None:
    with visiting(browser, address, java_script_enabled=False) as visit:
        page = visit.page
        page.goto(f"{address}/ui")
        assert page.locator("#q").get_attribute("role") is None
        page.locator("#q").fill("zebra")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"q=zebra"))
        assert page.get_by_role("listbox").count() == 0
