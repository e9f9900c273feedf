"""The page of an image in a real browser: keys, answers in place, and nothing that was typed is lost."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from mirada.classify.labelling import queue_lacking
from mirada.jobs import sweep
from mirada.runtime import Runtime
from testing.browsing import Visit, visiting
from testing.encoders import CountingEncoder, with_encoder
from testing.gallery import as_upload
from testing.pictures import picture
from tests.conftest import MakeRuntime
from workers.runner import run_job

pytestmark = pytest.mark.browser
SHOWN = (("cat", "dog"), ("cat", "dog"), ("pizza", "cat"), ("bird",))


@pytest.fixture
def encoder() -> CountingEncoder:
    """Looks at pictures."""
    return CountingEncoder(logit_scale=20.0)


@pytest.fixture
def runtime(make_runtime: MakeRuntime, encoder: CountingEncoder) -> Runtime:
    """A library that has labels."""
    return with_encoder(make_runtime(clip_top_k=5), encoder)


@pytest.fixture
def ids(runtime: Runtime, encoder: CountingEncoder, client: Any) -> list[int]:
    """Pictures with their labels judged."""
    found = []
    for seed, shown in enumerate(SHOWN):
        encoder.show(*shown)
        data = {"file": as_upload(picture(seed)), "caption": f"picture {seed}"}
        found.append(client.post("/api/v1/images", data=data).get_json()["id"])
        work(runtime)
    queue_lacking(runtime)
    work(runtime)
    runtime.index(runtime.space()[0]).refresh()
    return found


def work(runtime: Runtime) -> None:
    """Run every due job to its end."""
    with runtime.reading() as session:
        due = sweep.due_jobs(session)
    for job in due:
        run_job(runtime, job.id)


@pytest.fixture
def visit(browser: Browser, address: str, ids: list[int]) -> Iterator[Visit]:
    """A browser of ordinary size."""
    with visiting(browser, address, viewport={"width": 1280, "height": 800}) as opened:
        yield opened


def test_keys_walk_the_list_and_lead_back_to_the_place_in_it(visit: Visit, ids: list[int]) -> None:
    page = visit.go("/ui?sort=oldest")
    page.locator(".tile > a").nth(1).click()
    for key, at in (("]", 2), ("]", 3), ("[", 2)):
        page.wait_for_load_state("networkidle")
        page.keyboard.press(key)
        page.wait_for_url(f"**/ui/images/{ids[at]}?sort=oldest")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/ui?sort=oldest#i{ids[2]}")
    # One tab stop, and it is the picture that one comes from.
    expect(page.locator(".tile > a[tabindex='0']")).to_have_attribute(
        "href", f"/ui/images/{ids[2]}?sort=oldest"
    )
    visit.require_clean()


def test_a_verdict_by_key_tells_its_effect_in_place_and_is_undone(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go(f"/ui/images/{ids[0]}")
    before, place = page.locator(".bars").inner_text(), page.locator(".bars").bounding_box()
    page.keyboard.press("n")
    expect(page.locator(".effect")).to_contain_text("→")
    # Whoever judges one label after the other finds the next one where it was.
    assert page.locator(".bars").bounding_box() == place
    pressed = page.locator(".bars li:first-child [data-say=n]")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    assert page.locator(".bars").inner_text() != before
    # Whoever works by keys stays where they were.
    page.locator("#undo").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_have_count(0)
    expect(page.locator(".effect")).to_contain_text("→")
    assert page.locator(".bars").inner_text() == before
    assert page.evaluate("document.activeElement.closest('#labels') !== null")
    assert visit.faults() == []
    visit.require_clean()


def test_the_page_makes_sense_when_it_is_read_aloud(visit: Visit, ids: list[int]) -> None:
    page = visit.go(f"/ui/images/{ids[0]}?plus={ids[1]}")
    name = page.locator(".bars .name").first.inner_text()
    # Each thing is said once.
    expect(page.locator(".bars li").first).to_match_aria_snapshot(
        f"""
        - listitem:
          - meter "{name}": /\\d+%/
          - button "{name} is right"
          - button "{name} is wrong"
        """
    )
    expect(page.locator("#head .acts").first).to_match_aria_snapshot(
        """
        - link "More like this"
        - link "Less like this"
        - button "Like, 0 likes"
        - button "Only you. Make it visible to everybody"
        - link "Original"
        """
    )
    tile = page.locator("#related .tile > a").first
    assert re.fullmatch(
        r'- link "picture \d .* Relevance \d+%":', tile.aria_snapshot().splitlines()[0]
    )


def test_a_page_is_printed_black_on_white_without_its_bars(visit: Visit, ids: list[int]) -> None:
    page = visit.go(f"/ui/images/{ids[0]}")
    url = page.url
    page.context.add_cookies([{"name": "mirada_theme", "value": "dark", "url": url}])
    page.reload()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    ink = "getComputedStyle(document.querySelector('h1')).color"
    assert page.evaluate(ground) != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert page.evaluate(ink) == "rgb(0, 0, 0)"
    for gone in (".bar", ".foot", "#labels form"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()


def test_likes_and_visibility_answer_where_they_are(visit: Visit, ids: list[int]) -> None:
    page = visit.go(f"/ui/images/{ids[0]}")
    page.keyboard.press("l")
    expect(page.locator("#like")).to_have_attribute("aria-pressed", "true")
    page.locator("#visibility").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#visibility")).to_contain_text("Public")
    assert page.evaluate("document.activeElement.id") == "visibility"
    visit.require_clean()


def test_what_was_typed_stays_when_nothing_answers_or_one_is_signed_out(
    visit: Visit, ids: list[int]
) -> None:
    page = visit.go(f"/ui/images/{ids[0]}")
    box = page.locator("#comment")
    box.fill("<b>hello</b> שלום 🎈")
    page.context.set_offline(True)
    page.locator("#comments form.field button").click()
    expect(page.locator("#comments .error")).to_contain_text("does not answer")
    page.context.set_offline(False)
    refusal = {"status": 401, "content_type": "application/problem+json", "body": "{}"}
    page.route(re.compile("/comments"), lambda route: route.fulfill(**refusal), times=1)
    page.locator("#comments form.field button").click()
    expect(page.locator("#comments .error")).to_contain_text("not signed in")
    expect(box).to_have_value("<b>hello</b> שלום 🎈")
    page.locator("#comments form.field button").click()
    expect(page.locator(".comments .written")).to_have_text("<b>hello</b> שלום 🎈")
    expect(box).to_have_value("")


def test_two_tabs_are_told_of_each_other(visit: Visit, ids: list[int], client: Any) -> None:
    page = visit.go(f"/ui/images/{ids[0]}")
    client.patch(f"/api/v1/images/{ids[0]}", json={"caption": "of the other tab"})
    page.locator(".rename summary").click()
    page.locator("#caption").fill("of this tab")
    page.locator(".rename button").click()
    expect(page.locator(".rename [role=alert]")).to_contain_text("perhaps in another tab")
    expect(page.locator("#caption")).to_have_value("of this tab")
    expect(page.locator("h1")).to_have_text("of the other tab")
    page.locator(".rename button").click()
    expect(page.locator("h1")).to_have_text("of this tab")
    # What this tab has changed itself is no surprise to its other forms.
    page.reload()
    for prompt in ("a red boat", "two red boats"):
        page.locator(".reprompt summary").click()
        page.locator("#new-prompt").fill(prompt)
        page.locator(".reprompt button").click()
        expect(page.locator("#prompt")).to_have_text(prompt)
    page.locator(".rename summary").click()
    page.locator("#caption").fill("once more")
    page.locator(".rename button").click()
    expect(page.locator("h1")).to_have_text("once more")


def test_an_animation_can_be_stopped_and_waits_where_motion_is_not_wanted(
    browser: Browser, address: str, client: Any, ids: list[int]
) -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 80, 80)) for shade in (0, 120, 240)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    upload = as_upload(file.getvalue(), "moving.gif", "image/gif")
    image_id = client.post("/api/v1/images", data={"file": upload}).get_json()["id"]
    for motion, is_moving in (("no-preference", True), ("reduce", False)):
        with visiting(browser, address, reduced_motion=motion) as visit:
            page = visit.go(f"/ui/images/{image_id}")
            shown = page.locator(".stage img")
            # What stands in the HTML is still; a source beside it moves, where motion is welcome.
            still = f"{address}{shown.get_attribute('src')}"
            files = {True: f"{address}/api/v1/images/{image_id}/animation", False: still}
            expect(shown).to_have_js_property("currentSrc", files[is_moving])
            page.get_by_role("link", name="Stop" if is_moving else "Play").click()
            expect(page.get_by_role("link", name="Play" if is_moving else "Stop")).to_be_visible()
            expect(shown).to_have_js_property("currentSrc", files[not is_moving])
            visit.require_clean()
