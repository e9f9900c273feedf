"""Every page in a real browser: clean, accessible, still, and within its weight.

`make test` looks at each page in one theme and width; the drill looks at all themes, widths and languages.
"""

from __future__ import annotations

import gzip
import itertools
import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from mirada.people import keys, users
from mirada.runtime import Runtime
from mirada.webhooks import deliveries, hooks
from testing.browsing import visiting
from testing.gallery import Gallery
from webapp.pages.assets import bundle

pytestmark = pytest.mark.browser
PATHS = (
    "/ui",
    "/ui?plus={one}&minus={two}",
    "/ui?filters=true&shape=landscape&visibility=public",
    "/ui/images/{one}?plus={two}",
    "/ui?trashed={gone}",
    "/ui/memory",
    "/ui/activity",
    "/ui/index",
    "/ui/usage",
    "/ui/groups",
    "/ui/tags",
    "/ui/tags/one?name=film%20still",
    "/ui/packs",
    "/ui/packs/new",
    "/ui/packs/new?q=cat",
    "/ui/packs/{pack}",
    "/ui/packs/{pack}?export=whatsapp",
    "/ui/packs/{one_alone}",
    "/ui/packs/{empty}",
    "/ui/packs/{by_search}",
    "/ui/packs/{pack}/delete",
    "/ui/duplicates",
    "/ui/duplicates?tier=same_file",
    "/ui/duplicates/all?tier=same_file",
    "/ui/trash",
    "/ui/trash/{gone}/erase",
    "/ui/trash/empty",
    "/ui/map",
    "/ui/settings",
    "/ui/settings#new-key",
    "/ui/settings/keys/{key}/revoke",
    "/ui/settings/users/1",
    "/ui/settings/labels",
    "/ui/settings/labels/one",
    "/ui/settings/labels/one?name=cat",
    "/ui/settings/labels/remove?name=cat",
    "/ui/settings/styles",
    "/ui/settings/styles/reset",
    "/ui/settings/audit",
    "/ui/settings/webhooks",
    "/ui/settings/webhooks/{hook}",
    "/ui/settings/webhooks/{hook}/delete",
    "/ui/groups?kind=near_duplicates",
    "/ui/about",
    "/ui/sign-in",
    "/ui/add",
    "/ui/nowhere",
)
"""Every page, with the ids of pictures to fill in; a new page belongs here."""
PRESSED = {"/ui/settings#new-key": "section[aria-labelledby=keys] form.new button"}
"""The button of a page that leads to the one that is looked at: a key is in no address."""
REFUSALS = {"/ui/nowhere": (404,), "/ui/activity": (503,), "/ui/index": (503,)}
"""What browsers tell of a page that is well. A person has two streams, and the server that tests run notices
within ten seconds that a reader is gone: the third page asks without a stream."""
MOST_OF_ONE, MOST_OF_ALL = 30 * 1024, 100 * 1024
"""Bytes of scripts and styles, compressed: of a page, and of all pages."""
MOST_SHIFT = 0.01


@pytest.fixture
def ids(runtime: Runtime, client: Any) -> dict[str, int]:
    """A library of pictures, and two of them; one was added twice, and one more is in the trash."""
    gallery = Gallery(runtime, client)
    found = [
        gallery.upload(
            caption=f"picture number {n}", degrees=float(n * 7), is_public="true", tags="film still"
        )["id"]
        for n in range(12)
    ]
    for _ in range(2):
        gallery.upload(seed=900, caption="twice", degrees=88.0)
    gone = gallery.upload(caption="picture in the trash", degrees=90.0)["id"]
    client.delete(f"/api/v1/images/{gone}")
    packs = {}
    for name, inside, more in (
        ("pack", found[:5], {"theme": "cats", "description": "For good days"}),
        ("one_alone", found[:1], {}),
        ("empty", [], {}),
        ("by_search", [], {"query": {"filter": {"kind": "still"}}}),
    ):
        made = client.post("/api/v1/packs", json={"title": name, **more}).get_json()
        packs[name] = made["id"]
        if inside:
            client.post(made["images_url"], json={"image_ids": inside})
    with runtime.transaction() as session:
        key = keys.issue(session, users.local_user(session), name="a phone").row
        hook = hooks.make_webhook(
            session,
            users.local_user(session).id,
            address="https://hooks.example/mirada",
            events=["image.ready"],
        )
        deliveries.send_test(session, hook.user_id, hook.id)
        return packs | {
            "one": found[0],
            "two": found[1],
            "gone": gone,
            "key": key.id,
            "hook": hook.id,
            "shown": len(found) + 2,
        }


def look(browser: Browser, address: str, path: str, **context: Any) -> None:
    """Open a page and check what can be checked of any."""
    with visiting(browser, address, **context) as visit:
        page = visit.go(path)
        if path in PRESSED:
            page.locator(PRESSED[path]).click()
            page.locator("#secret").wait_for()
            page.wait_for_load_state("networkidle")
        refused = "error: Failed to load resource: the server responded with a status of"
        expected = tuple(f"{refused} {status}" for status in REFUSALS.get(path, ()))
        visit.complaints = [one for one in visit.complaints if not one.startswith(expected)]
        visit.require_clean()
        assert visit.faults() == []
        shifts = visit.shifts()
        assert sum(value for value, _ in shifts) <= MOST_SHIFT, shifts
        assert not visit.is_wider_than_its_window()
        assert visit.sticking_out() == []
        assert page.locator("h1").count() == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_clean_accessible_and_still(
    browser: Browser, address: str, ids: dict[str, int], path: str
) -> None:
    look(browser, address, path.format(**ids), viewport={"width": 1440, "height": 900})


@pytest.mark.drill
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_so_in_every_theme_width_and_language(
    browser: Browser, address: str, ids: dict[str, int], path: str
) -> None:
    wishes = itertools.product(("light", "dark"), (1440, 820, 320), ("en-GB", "pt-PT", "es-ES"))
    for theme, width, locale in wishes:
        look(
            browser,
            address,
            path.format(**ids),
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            locale=locale,
        )


@pytest.mark.drill
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_so_with_forced_colours_without_motion_and_enlarged(
    browser: Browser, address: str, ids: dict[str, int], path: str
) -> None:
    desk, phone = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
    forced: dict[str, Any] = {"forced_colors": "active"}
    for wishes in (
        forced | {"color_scheme": "dark", "viewport": desk},
        forced | {"color_scheme": "light", "viewport": phone},
        # 1280 pixels at 200 %, and at 400 %.
        {
            "viewport": {"width": 640, "height": 450},
            "device_scale_factor": 2,
            "reduced_motion": "reduce",
        },
        {
            "viewport": {"width": 320, "height": 225},
            "device_scale_factor": 4,
            "reduced_motion": "reduce",
        },
    ):
        look(browser, address, path.format(**ids), **wishes)


@pytest.mark.parametrize("path", PATHS)
def test_a_page_weighs_little(client: Any, ids: dict[str, int], path: str) -> None:
    text = client.get(path.format(**ids), headers={"Accept": "text/html"}).text
    _, files = bundle()
    names = set(re.findall(r"/ui/assets/\w+/([\w.-]+\.(?:js|css))", text))
    waiting = list(names)
    while waiting:
        # What a script imports is loaded as well.
        source = files[waiting.pop()].plain.decode()
        for name in re.findall(r'from "\./([\w.-]+)"', source):
            if name not in names:
                names.add(name)
                waiting.append(name)
    assert names
    assert sum(len(gzip.compress(files[name].plain, 9)) for name in names) <= MOST_OF_ONE


def test_all_pages_together_weigh_little() -> None:
    _, files = bundle()
    weighed = [found for name, found in files.items() if name.endswith((".js", ".css"))]
    assert sum(len(gzip.compress(found.plain, 9)) for found in weighed) <= MOST_OF_ALL


def test_a_page_goes_on_by_itself_and_by_keys(
    browser: Browser, address: str, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.explore.TILES", 4)
    with visiting(browser, address, viewport={"width": 900, "height": 500}) as visit:
        page = visit.go("/ui")
        page.locator(".tile").nth(ids["shown"] - 1).wait_for(state="attached")
        assert page.locator(".tile").count() == ids["shown"]
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.press("ArrowDown")
        first = page.evaluate("document.activeElement.closest('.tile').dataset.id")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.closest('.tile').dataset.id") != first
        chosen = page.evaluate("document.activeElement.closest('.tile').dataset.id")
        page.keyboard.press("+")
        page.wait_for_url(f"**/ui?plus={chosen}")
        page.wait_for_load_state("networkidle")
        visit.require_clean()


def test_a_second_visit_asks_for_no_file_of_the_page_again(
    browser: Browser, address: str, ids: dict[str, int]
) -> None:
    with visiting(browser, address) as visit:
        visit.go("/ui")
        page = visit.go("/ui")
        again = page.evaluate(
            "performance.getEntriesByType('resource').filter((e) => e.transferSize > 0).map((e) => e.name)"
        )
        assert [name for name in again if "/ui/assets/" in name] == []
