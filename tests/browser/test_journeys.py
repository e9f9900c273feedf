"""What people do with the product as it is deployed: Gunicorn, a worker, Redis, two people, real pictures.

The server is started once and costs most of the time. Each journey leaves the library as it found it, or
adds to it what no other one asks for.
"""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from mirada.config import Settings
from mirada.runtime import Runtime
from testing.browsing import Visit, visiting
from testing.deployment import ROOT, Deployment, Web, deployed
from testing.filled import fill
from testing.patience import wait_until
from testing.pictures import picture
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.browser, pytest.mark.redis, pytest.mark.drill]
STICKERS = [
    "cat-face",
    "cow",
    "tiger-face",
    "tiger",
    "leopard",
    "fox",
    "wolf",
    "horse-face",
    "pig",
    "rabbit-face",
    "panda",
    "mouse-face",
    "cherry-blossom",
    "tulip",
    "sunflower",
    "hyacinth",
    "avocado",
    "banana",
    "carrot",
    "pizza",
    "hamburger",
    "tomato",
    "watermelon",
    "bus",
    "tram-car",
    "passenger-ship",
    "motor-boat",
    "police-car",
    "grinning-face",
    "smiling-face-with-hearts",
    "crying-face",
    "red-heart",
]
WINDOW = {"width": 1280, "height": 800}
PATIENT_MS = 60_000
GONE_WITHIN_S = 1.0
MOVES = 4
DROP = """([event, bodies]) => {
  const carried = new DataTransfer();
  for (const [name, text] of bodies) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    carried.items.add(new File([bytes], name, {type: "image/png"}));
  }
  const how = {bubbles: true, cancelable: true};
  document.body.dispatchEvent(event === "paste"
    ? new ClipboardEvent(event, {...how, clipboardData: carried})
    : new DragEvent(event, {...how, dataTransfer: carried}));
}"""
BARS = """() => {
  window.bars = [];
  new MutationObserver(() => {
    for (const bar of document.querySelectorAll(".job progress[max]")) {
      const seen = bar.value / bar.max;
      if (window.bars.at(-1) !== seen) window.bars.push(seen);
    }
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""

FOCUSED = """() => {
  const at = document.activeElement, box = at.getBoundingClientRect();
  const around = [];
  for (let one = at; one && one !== document.body; one = one.parentElement) around.push(one);
  const isRinged = around.some((one) => {
    const style = getComputedStyle(one);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  });
  const over = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  const isSeen = Boolean(over) && (at.contains(over) || over.contains(at));
  const label = at.getAttribute("aria-label") ?? at.labels?.[0]?.innerText ?? at.innerText;
  const where = `${Math.round(box.top)} to ${Math.round(box.bottom)} of ${innerHeight}`;
  const name = (label || at.title || "").trim();
  return {tag: at.tagName, name, isRinged, isSeen, where, over: over?.outerHTML.slice(0, 80)};
}"""
"""What has the focus, whether something is drawn around it, and whether nothing lies over it."""
MOST_TABS = 90


@dataclass
class Site:
    """The deployment, and the keys of the people in it by name."""

    deployment: Deployment
    web: Web
    keys: dict[str, str]
    ids: dict[str, int]

    def sign_in(self, page: Page, name: str) -> None:
        page.goto(f"{self.web.url}/ui/sign-in")
        page.get_by_label("Your key").fill(self.keys[name])
        page.locator("main").get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.web.url}/ui")

    def end_session(self, page: Page) -> None:
        """End the session on the server, as another tab of the same browser would."""
        page.context.clear_cookies()


def paths_of_stickers() -> dict[str, Path]:
    return {name: ROOT / "demo" / "stickers" / f"{name}.png" for name in STICKERS}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("site"), REDIS_URL=redis_url, AUTH_MODE="keys"
        ) as deployment,
    ):
        keys = {}
        for name, more in (("ana", ["--admin"]), ("bea", [])):
            made = deployment.run("flask", "--app", "wsgi:app", "users", "create", name, *more)
            assert made.returncode == 0, made.stderr
            keys[name] = re.findall(r"mrd_[\w-]{40,}", made.stdout)[-1]
        web = deployment.web(wait=False)
        deployment.worker()
        web.wait_until_healthy()
        web.http.headers["Authorization"] = f"Bearer {keys['ana']}"
        ids = {
            name: web.upload(path.read_bytes(), path.name, is_public="true")["id"]
            for name, path in paths_of_stickers().items()
        }
        web.wait_until_ready(len(ids))
        html = {"Accept": "text/html"}
        wait_until(
            lambda: all(
                'class="bars"' in web.http.get(f"/ui/images/{ids[name]}", headers=html).text
                for name in ("sunflower", "pizza")
            ),
            what="labels are judged",
        )
        yield Site(deployment, web, keys, ids)


Arrive = Callable[..., Visit]


@pytest.fixture
def arrive(browser: Browser, site: Site) -> Iterator[Arrive]:
    """Return a function that opens a profile of its own, signed in as somebody unless told otherwise."""
    opened = []

    def open_profile(name: str | None = "ana", **context: Any) -> Visit:
        profile = visiting(browser, site.web.url, **{"viewport": WINDOW, **context})
        visit = profile.__enter__()
        opened.append(profile)
        if name is not None:
            site.sign_in(visit.page, name)
        return visit

    yield open_profile
    for profile in opened:
        profile.__exit__(None, None, None)


def shown(page: Page) -> list[int]:
    """Return the ids of the tiles, in their order."""
    found = page.locator(".tile").evaluate_all("(all) => all.map((one) => Number(one.dataset.id))")
    return [int(one) for one in found]


def carried(files: dict[str, bytes]) -> list[list[str]]:
    return [[name, base64.b64encode(body).decode()] for name, body in files.items()]


def noise(seed: int) -> bytes:
    """A picture of a megabyte, so that a slow line takes a while."""
    drawn = np.random.default_rng(seed).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "PNG")
    return file.getvalue()


def test_five_dropped_one_broken_and_the_page_reloaded_in_the_middle(
    site: Site, arrive: Arrive
) -> None:
    visit = arrive("bea")
    page = visit.go("/ui/add")
    page.on("dialog", lambda dialog: dialog.accept())
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": 300_000}
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", slow)
    files = {f"picture {n}.png": noise(n) for n in range(4)}
    page.evaluate(DROP, ["drop", carried(files | {"broken.png": b"no picture at all"})])
    expect(page.locator('.entry[data-state="sending"]').first).to_be_visible()
    page.reload()
    expect(page.locator(".entry")).to_have_count(5)
    assert page.locator('.entry[data-state="done"]').count() < 4
    line.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    done = page.locator('.entry[data-state="done"]')
    expect(done).to_have_count(4, timeout=PATIENT_MS)
    refused = page.locator('.entry[data-state="refused"]')
    expect(refused).to_have_count(1)
    expect(refused.locator(".name")).to_have_text("broken.png")
    expect(refused.locator(".state")).to_contain_text("JPEG")
    visit.complaints = [one for one in visit.complaints if "415" not in one]
    visit.require_clean()
    visit.go("/ui?mine=true")
    bearing = {"Authorization": f"Bearer {site.keys['bea']}"}
    mine = site.web.http.get("/api/v1/images?mine=true", headers=bearing).json()["results"]
    assert sorted(one["filename"] for one in mine) == sorted(files)


def test_gato_finds_the_cat(site: Site, arrive: Arrive) -> None:
    visit = arrive("bea")
    page = visit.go("/ui")
    page.keyboard.press("/")
    page.keyboard.type("gato", delay=40)
    page.wait_for_url("**/ui?q=gato")
    expect(page.locator("#verdict")).to_contain_text("clear match")
    # The sticker of a fox is a cat's in all but its colour.
    assert site.ids["cat-face"] in shown(page)[:2]
    cat = page.locator(f"#i{site.ids['cat-face']}")
    expect(cat).not_to_have_class(re.compile("weak"))
    visit.require_clean()


def test_a_pasted_picture_minus_another(site: Site, arrive: Arrive) -> None:
    visit = arrive("bea")
    page = visit.go("/ui")
    # No file of the library: smaller, turned over, and of another kind.
    sticker = Image.open(paths_of_stickers()["tiger-face"]).convert("RGBA")
    turned = sticker.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((90, 90))
    file = io.BytesIO()
    turned.save(file, "WEBP")
    page.evaluate(DROP, ["paste", carried({"copied.png": file.getvalue()})])
    page.wait_for_url("**/ui?plus=p*")
    assert shown(page)[0] == site.ids["tiger-face"]
    assert site.ids["leopard"] in shown(page)
    tile = page.locator(f"#i{site.ids['leopard']}")
    tile.hover()
    tile.locator('[data-act="less"]').click()
    page.wait_for_url(f"**/ui?plus=p*&minus={site.ids['leopard']}")
    expect(page.locator(".chip")).to_have_count(2)
    assert site.ids["leopard"] not in shown(page)
    assert shown(page)[0] == site.ids["tiger-face"]
    visit.require_clean()


def map_ids(page: Page, origin: str) -> set[int]:
    """Return the ids that the open page's map is drawn from."""
    address = page.locator("#map").get_attribute("data-points")
    packed = page.request.get(f"{origin}{address}").body()
    count = len(packed) // 13
    return {int(one) for one in np.frombuffer(packed, "<u8", count)}


def test_a_picture_made_private_is_gone_for_everybody_else(site: Site, arrive: Arrive) -> None:
    image_id = site.ids["cat-face"]
    ana, bea, fresh = arrive("ana"), arrive("bea"), arrive(None)
    assert site.web.http.post("/api/v1/map").status_code == 202
    page = bea.page

    def is_on_the_map() -> bool:
        page.goto(f"{site.web.url}/ui/map")
        return page.locator("#map").count() > 0 and image_id in map_ids(page, site.web.url)

    wait_until(is_on_the_map, what="the map is there")
    bea.go("/ui")
    tile = page.locator(f"#i{image_id}")
    old = tile.locator("img").get_attribute("src") or ""
    assert old.startswith("/i/")
    with_it = len(shown(page))

    ana.go(f"/ui/images/{image_id}")
    ana.page.keyboard.press("p")
    expect(ana.page.locator("#visibility")).to_contain_text("Only you")
    began = time.monotonic()
    assert fresh.page.request.get(f"{site.web.url}{old}").status in (401, 404)
    assert time.monotonic() - began < GONE_WITHIN_S
    assert page.request.get(f"{site.web.url}{old}").status == 404
    assert page.request.get(f"{site.web.url}/ui/images/{image_id}").status == 404
    bea.go("/ui")
    assert image_id not in shown(page)
    assert len(shown(page)) == with_it - 1
    bea.go("/ui?q=cat")
    assert image_id not in shown(page)
    assert not is_on_the_map()

    ana.page.keyboard.press("p")
    expect(ana.page.locator("#visibility")).to_contain_text("Public")
    bea.go("/ui")
    new = tile.locator("img").get_attribute("src") or ""
    assert new != old
    assert page.request.get(f"{site.web.url}{old}").status == 404
    assert page.request.get(f"{site.web.url}{new}").status == 200
    ana.require_clean()


def test_a_label_judged_wrong_shows_its_effect_and_is_undone(site: Site, arrive: Arrive) -> None:
    visit = arrive("bea")
    page = visit.go(f"/ui/images/{site.ids['pizza']}")
    bars = page.locator(".bars")
    bars.wait_for(timeout=PATIENT_MS)
    before, name = bars.inner_text(), page.locator(".bars .name").first.inner_text()
    page.get_by_role("button", name=f"{name} is wrong").click()
    expect(page.locator(".effect")).to_contain_text(re.compile(rf"{name} \d+ → \d+"))
    told = page.locator(".effect strong").inner_text()
    was, now = (int(one) for one in re.findall(r"\d+", told)[-2:])
    assert now < was
    assert bars.inner_text() != before
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#undo")).to_have_count(0)
    expect(bars).to_have_text(re.compile(".+"))
    assert bars.inner_text() == before
    visit.require_clean()


def test_a_worker_that_is_killed_is_missed_and_another_one_goes_on(
    site: Site, arrive: Arrive
) -> None:
    visit = arrive("ana")
    page = visit.page
    # Not `go`: the stream of events never ends.
    page.goto(f"{site.web.url}/ui/activity")
    expect(page.locator("#told")).to_contain_text("A worker is there.", timeout=PATIENT_MS)
    worker = next(one for one in reversed(site.deployment.processes) if one.log.stem != "web")
    worker.kill()
    waiting = site.web.upload(picture(4242), is_public="false")
    expect(page.locator("#told")).to_contain_text("has not been seen for", timeout=PATIENT_MS)
    expect(page.locator("#away code")).to_have_text("bin/mirada worker")
    expect(page.locator('.job[data-state="queued"]').first).to_be_visible()
    site.deployment.worker("worker2")
    page.locator("#away").wait_for(state="hidden", timeout=PATIENT_MS)
    expect(page.locator("#told")).to_contain_text("A worker is there.")
    expect(page.locator('.job[data-state="queued"]')).to_have_count(0, timeout=PATIENT_MS)
    wait_until(
        lambda: site.web.image(waiting["id"])["status"] == "READY", what="the picture is understood"
    )
    # The picture's thumbnail is made by a worker: without one the server says that it waits.
    visit.complaints = [one for one in visit.complaints if "503" not in one]
    visit.require_clean()


def test_what_is_written_when_a_session_ends_is_there_after_signing_in(
    site: Site, arrive: Arrive
) -> None:
    visit = arrive("ana")
    page, image_id = visit.page, site.ids["bus"]
    # Words of a search: the way to sign in leads back to them.
    visit.go("/ui")
    site.end_session(page)
    page.locator("#q").press_sequentially("red flower")
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Your key").fill(site.keys["ana"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui?q=red+flower")
    expect(page.locator("#q")).to_have_value("red flower")
    # A comment and a title: the same tab is left and comes back.
    visit.go(f"/ui/images/{image_id}")
    page.locator("#comment").fill("half of a thought")
    page.locator("summary", has_text="Change the title").click()
    page.locator("#caption").fill("a title that is not saved")
    site.end_session(page)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#comments .error")).to_contain_text("not signed in")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#head .error")).to_contain_text("not signed in")
    site.sign_in(page, "ana")
    visit.go(f"/ui/images/{image_id}")
    expect(page.locator("#comment")).to_have_value("half of a thought")
    expect(page.locator("#caption")).to_have_value("a title that is not saved")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".comments .written")).to_have_text("half of a thought")
    # What was sent is a draft no more; what was not, is one still.
    page.reload()
    expect(page.locator("#comment")).to_have_value("")
    expect(page.locator("#caption")).to_have_value("a title that is not saved")
    # Whoever uses the same tab next finds nothing of it.
    site.end_session(page)
    site.sign_in(page, "bea")
    visit.go(f"/ui/images/{image_id}")
    assert "half of" not in page.locator("#comment").input_value()
    # A queue.
    site.end_session(page)
    site.sign_in(page, "ana")
    visit.go("/ui/add")
    site.end_session(page)
    page.evaluate(DROP, ["drop", carried({"one.png": picture(9001), "two.png": picture(9002)})])
    page.locator("#away").get_by_role("link", name="Sign in").click()
    page.get_by_label("Your key").fill(site.keys["ana"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/add")
    expect(page.locator('.entry[data-state="done"]')).to_have_count(2, timeout=PATIENT_MS)


def test_a_second_visit_asks_for_no_picture_again(arrive: Arrive) -> None:
    visit = arrive("bea")
    visit.go("/ui")
    visit.go("/ui/about")
    page = visit.go("/ui")
    came = page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter((one) => one.transferSize > 0 && new URL(one.name).pathname.startsWith('/i/'))"
        ".map((one) => one.name)"
    )
    assert page.locator(".tile img").count() > 20
    assert came == []
    visit.require_clean()


def test_a_slow_typist_s_outdated_questions_are_cancelled(site: Site, arrive: Arrive) -> None:
    visit = arrive("bea")
    page = visit.go("/ui")
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}
    line.send("Network.emulateNetworkConditions", slow)
    ended: dict[str, str] = {}

    def words(url: str) -> str:
        found = re.search(r"[?&]q=([^&]*)", url)
        return found[1] if found and "part=1" in url else ""

    page.on("requestfailed", lambda one: ended.__setitem__(words(one.url), "cancelled"))
    page.on("requestfinished", lambda one: ended.__setitem__(words(one.url), "answered"))
    page.locator("#q").press_sequentially("sunflower", delay=350)
    page.wait_for_url("**/ui?q=sunflower")
    expect(page.locator(".tile").first).to_have_attribute("data-id", str(site.ids["sunflower"]))
    ended.pop("", None)
    assert ended.pop("sunflower") == "answered"
    assert set(ended.values()) == {"cancelled"}
    assert len(ended) >= 3


def test_a_rebuild_is_seen_by_its_moving_bar(site: Site, arrive: Arrive) -> None:
    folder = site.deployment.folder
    settings = Settings.from_env(
        data_dir=folder / "data", faiss_index_dir=folder / "faiss_indexes", clip_model="bundled"
    )
    runtime = Runtime(settings)
    space_id, space = runtime.space()
    drawn = np.random.default_rng(0).normal(size=(20_100, space.dimension)).astype(np.float32)
    fill(
        runtime.database,
        settings.image_dir,
        space_id,
        drawn / np.linalg.norm(drawn, axis=1, keepdims=True),
    )
    runtime.close()
    visit = arrive("ana")
    page = visit.page
    page.goto(f"{site.web.url}/ui/index")
    page.evaluate(BARS)
    rebuild = page.get_by_role("button", name="Rebuild Pictures")
    rebuild.click()
    page.locator(".job").wait_for()
    wait_until(lambda: len(page.evaluate("window.bars")) >= MOVES, what="the bar moves")
    page.get_by_role("button", name="Cancel").click()
    rebuild.wait_for(timeout=PATIENT_MS)
    moved = page.evaluate("window.bars")
    assert moved == sorted(moved)
    assert 0 <= moved[0] < moved[-1] <= 1
    visit.require_clean()


@dataclass
class Keyboard:
    """Somebody who has no mouse; fails where the focus is lost, or is not seen."""

    page: Page

    def press(self, key: str) -> str:
        """Press a key, and return the name of what has the focus then."""
        self.page.keyboard.press(key)
        return self.look()

    def look(self) -> str:
        at = self.page.evaluate(FOCUSED)
        assert at["tag"] != "BODY", "the focus is lost"
        assert at["isRinged"], f"no ring is seen around {at}"
        assert at["isSeen"], f"something lies over {at}"
        return str(at["name"])

    def reach(self, name: str, key: str = "Tab") -> None:
        """Press a key until what is so called has the focus."""
        met = []
        for _ in range(MOST_TABS):
            met.append(self.press(key))
            if re.search(name, met[-1]):
                return
        raise AssertionError(f"{name} is not reached: {met}")

    def enter(self) -> None:
        """Follow the link that has the focus; a page begins anew at its top."""
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")
        self.page.wait_for_load_state("networkidle")


def test_the_main_path_is_walked_by_keys_alone(site: Site, arrive: Arrive, tmp_path: Path) -> None:
    file = tmp_path / "by keys.png"
    file.write_bytes(picture(5151))
    visit = arrive(None)
    page, keys = visit.go("/ui"), Keyboard(visit.page)
    keys.reach("Skip to the content")
    keys.reach("^Sign in$")
    keys.enter()
    keys.reach("Your key")
    page.keyboard.insert_text(site.keys["bea"])
    keys.enter()
    page.keyboard.press("/")
    keys.look()
    page.keyboard.type("sunflower", delay=30)
    page.wait_for_url("**/ui?q=sunflower")
    keys.look()
    keys.press("ArrowDown")
    for key in ("ArrowRight", "ArrowDown", "End", "Home"):
        keys.press(key)
    keys.enter()
    page.wait_for_url(f"**/ui/images/{site.ids['sunflower']}?*")
    # What was pressed keeps the focus, although its part of the page is another one then.
    keys.reach("^Like|Like,|0$")
    page.keyboard.press("Enter")
    expect(page.locator("#like")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.activeElement.id") == "like"
    keys.look()
    keys.reach("is wrong$")
    page.keyboard.press("Enter")
    expect(page.locator(".effect")).to_contain_text("→")
    keys.look()
    keys.reach("^Undo$")
    page.keyboard.press("Enter")
    expect(page.locator("#undo")).to_have_count(0)
    keys.look()
    keys.reach("Your comment")
    page.keyboard.type("written without a mouse")
    keys.reach("^Send$")
    page.keyboard.press("Enter")
    expect(page.locator(".comments .written")).to_contain_text(["written without a mouse"])
    keys.look()
    page.keyboard.press("Escape")
    page.wait_for_url("**/ui?q=sunflower*")
    expect(page.locator(f"#i{site.ids['sunflower']} > a")).to_be_focused()
    keys.reach("^Add$", "Shift+Tab")
    keys.enter()
    keys.reach("Choose pictures")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    expect(page.locator('.entry[data-state="done"]')).to_have_count(1, timeout=PATIENT_MS)
    # It shows once the sum is told, a moment after the file's own line.
    expect(page.get_by_role("button", name="Clear finished")).to_be_visible()
    keys.look()
    keys.reach("^Clear finished$")
    page.keyboard.press("Enter")
    expect(page.locator("#work")).to_be_hidden()
    keys.look()
    keys.reach("^Sign out$")
    keys.enter()
    assert page.get_by_role("link", name="Sign in").count() == 1
    visit.require_clean()


def test_the_main_path_is_walked_without_a_script(
    site: Site, arrive: Arrive, tmp_path: Path
) -> None:
    files = [tmp_path / f"plain {n}.png" for n in range(3)]
    for n, path in enumerate(files):
        path.write_bytes(picture(6160 + n) if n else b"no picture")
    visit = arrive("bea", java_script_enabled=False)
    page = visit.page
    page.get_by_role("searchbox").fill("sunflower")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**/ui?q=sunflower")
    page.locator(".tile > a").first.click()
    page.wait_for_url(f"**/ui/images/{site.ids['sunflower']}?*")
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Previous").click()
    page.get_by_label("Your comment").fill("written without a script")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".comments .written").last).to_have_text("written without a script")
    page.get_by_role("link", name="Back to the list").click()
    page.wait_for_url("**/ui?q=sunflower*")
    page.get_by_role("link", name=re.compile("^More like this: ")).first.click()
    expect(page.locator(".chip")).to_have_count(1)
    page.get_by_role("link", name="Add", exact=True).click()
    page.get_by_label("Choose pictures").set_input_files(files)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".outcomes .entry")).to_have_count(3)
    expect(page.locator(".outcomes .entry.no")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in").wait_for()
    assert (visit.complaints, visit.foreign) == ([], [])
