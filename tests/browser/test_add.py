"""Adding pictures in a real browser: a queue that survives a reload, a second time and a lost session."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import request
from playwright.sync_api import Browser, Page, expect

from mirada.db.models import ApiKey, Image, utc_now
from mirada.people import users
from mirada.runtime import Runtime
from testing.app_server import served
from testing.application import create_app
from testing.browsing import visiting
from testing.gallery import Gallery
from testing.patience import PATIENCE_S
from testing.pictures import picture

pytestmark = pytest.mark.browser
DROP = """(names) => {
  const carried = new DataTransfer();
  for (const [name, text] of names) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    carried.items.add(new File([bytes], name, {type: "image/png"}));
  }
  document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, dataTransfer: carried}));
}"""
"""Drops files on the page, as a person does."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five files, of which one is no picture."""
    paths = [tmp_path / f"picture {n}.png" for n in range(4)] + [tmp_path / "broken.png"]
    for seed, path in enumerate(paths):
        path.write_bytes(picture(seed) if "broken" not in path.name else b"no picture at all")
    return paths


def drop(page: Page, files: list[Path]) -> None:
    page.evaluate(
        DROP, [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in files]
    )


def count_images(runtime: Runtime) -> int:
    with runtime.reading() as session:
        return session.query(Image).count()


def states(page: Page, state: str) -> Any:
    return page.locator(f'.entry[data-state="{state}"]')


def slow_line(app: Any) -> threading.Event:
    """Let uploads hang until the event is set: the first is received whole, and its answer is late."""
    gate, first = threading.Event(), threading.Lock()

    @app.before_request
    def _hold() -> None:
        is_upload = request.path == "/api/v1/images" and request.method == "POST"
        if is_upload and not gate.is_set() and not first.acquire(blocking=False):
            gate.wait(PATIENCE_S)

    @app.after_request
    def _late(reply: Any) -> Any:
        if request.path == "/api/v1/images" and request.method == "POST":
            gate.wait(PATIENCE_S)
        return reply

    return gate


def test_five_dropped_one_broken_and_the_page_reloaded_in_the_middle(
    browser: Browser, app: Any, runtime: Runtime, files: list[Path]
) -> None:
    gate = slow_line(app)
    with served(app) as address, visiting(browser, address) as visit:
        page = visit.go("/ui/add")
        page.on("dialog", lambda dialog: dialog.accept())
        drop(page, files)
        expect(states(page, "sending")).to_have_count(3)
        expect(states(page, "waiting")).to_have_count(2)
        page.reload()
        expect(states(page, "sending")).to_have_count(3)
        gate.set()
        expect(page.locator(".entry")).to_have_count(5)
        expect(states(page, "refused")).to_have_count(1)
        expect(states(page, "refused").locator(".state")).to_contain_text("JPEG")
        expect(page.locator("#totals")).to_contain_text("1 refused")
        expect(
            page.locator('.entry[data-state="understood"], .entry[data-state="here"]')
        ).to_have_count(4)
        assert count_images(runtime) == 4
        # The same files again are known before they are sent.
        page.get_by_role("button", name="Clear finished").click()
        expect(page.locator("#work")).to_be_hidden()
        asked = len(visit.asked)
        page.locator("#files").set_input_files(files[:4])
        expect(states(page, "here")).to_have_count(4)
        assert not [one for one in visit.asked[asked:] if "on_duplicate" in one]
        expect(states(page, "here").first.get_by_role("link")).to_have_attribute(
            "href", re.compile(r"/ui/images/\d+$")
        )
        assert count_images(runtime) == 4
        assert visit.faults() == []
        visit.complaints = [one for one in visit.complaints if "415" not in one]
        visit.require_clean()


@pytest.fixture
def guarded(make_runtime: Callable[..., Runtime]) -> Runtime:
    return make_runtime(auth_mode="keys", embeddings_enabled=False)


def test_a_session_that_ends_while_adding_asks_to_sign_in_and_goes_on(
    browser: Browser, guarded: Runtime, files: list[Path]
) -> None:
    with guarded.transaction() as session:
        ana = users.create_with_key(session, "ana")
        bea = users.create_with_key(session, "bea").first_key.key
    with served(create_app(guarded)) as address, visiting(browser, address) as visit:
        page = visit.go("/ui/add")
        sign_in(page, ana.first_key.key)
        page.get_by_role("heading", name="Add pictures").wait_for()
        # The heading is there before the script that files are dropped on.
        page.wait_for_load_state("networkidle")
        with guarded.transaction() as session:
            session.query(ApiKey).filter_by(user_id=ana.user.id).update({"revoked_at": utc_now()})
        drop(page, files[:3])
        expect(page.locator("#away")).to_be_visible()
        assert count_images(guarded) == 0
        # Somebody else's queue is not sent by who uses the browser meanwhile.
        page.locator("#away a").click()
        sign_in(page, bea)
        page.get_by_role("heading", name="Add pictures").wait_for()
        expect(page.locator("#work")).to_be_hidden()
        page.get_by_role("button", name="Sign out").click()
        # Left sooner, the page might still hold the session.
        page.get_by_role("link", name="Sign in").first.wait_for()
        with guarded.transaction() as session:
            session.query(ApiKey).filter_by(user_id=ana.user.id).update({"revoked_at": None})
        visit.go("/ui/add")
        sign_in(page, ana.first_key.key)
        expect(states(page, "understood")).to_have_count(3)
        assert count_images(guarded) == 3


def sign_in(page: Page, key: str | None) -> None:
    assert key is not None
    page.get_by_label("Your key").fill(key)
    page.locator("main").get_by_role("button", name="Sign in").click()


def test_a_busy_server_is_waited_for_and_a_failure_is_retried(
    browser: Browser, app: Any, runtime: Runtime, files: list[Path]
) -> None:
    answers = [(503, {"Retry-After": "1"}), (500, {}), (500, {}), (500, {}), (500, {})]

    @app.before_request
    def _refuse() -> Any:
        if request.path == "/api/v1/images" and request.method == "POST" and answers:
            status, headers = answers.pop(0)
            return {"detail": "Not just now."}, status, headers
        return None

    with served(app) as address, visiting(browser, address) as visit:
        # Waiting is the page's business, and not this test's.
        visit.page.clock.install()
        page = visit.go("/ui/add")
        with page.expect_response("**/api/v1/images?*"):
            page.locator("#files").set_input_files(files[0])
        while answers:
            with page.expect_response("**/api/v1/images?*"):
                page.clock.run_for(9000)
        expect(states(page, "failed")).to_have_count(1)
        expect(states(page, "failed").locator(".state")).to_have_text("Not sent: Not just now.")
        assert answers == []
        page.get_by_role("button", name="Retry all").click()
        # The button has gone; whoever pressed it by a key is in the queue still.
        expect(page.get_by_role("button", name=f"Remove {files[0].name}")).to_be_focused()
        expect(states(page, "understood")).to_have_count(1)
        page.get_by_role("button", name=f"Remove {files[0].name}").press("Enter")
        expect(page.locator("#work")).to_be_hidden()
        expect(page.locator("#files")).to_be_focused()
        assert count_images(runtime) == 1


def test_of_a_folder_the_pictures_are_taken_and_the_page_hears_when_they_are_understood(
    browser: Browser, app: Any, address: str, runtime: Runtime, tmp_path: Path
) -> None:
    gallery = Gallery(runtime, app.test_client())
    (tmp_path / "year" / "month").mkdir(parents=True)
    for place in ("year/a.png", "year/month/b.png"):
        (tmp_path / place).write_bytes(picture(len(place)))
    (tmp_path / "year" / "Thumbs.db").write_bytes(b"notes of another program")
    with visiting(browser, address) as visit:
        page = visit.go("/ui/add")
        page.get_by_label("Who may see them").select_option("Everybody")
        page.locator("#folder").set_input_files(tmp_path / "year")
        expect(states(page, "understood")).to_have_count(2)
        with runtime.reading() as session:
            ids = [image.id for image in session.query(Image).filter_by(is_public=True)]
        for place, image_id in enumerate(ids):
            gallery.place(image_id, 10.0 * place)
        expect(states(page, "done")).to_have_count(2)
        visit.page.reload()
        expect(states(page, "done")).to_have_count(2)
        expect(page.get_by_label("Who may see them")).to_have_value("true")
        page.get_by_role("button", name="Remove a.png").click()
        expect(page.locator(".entry")).to_have_count(1)
        # No worker makes thumbnails here, and the server says so.
        visit.complaints = [one for one in visit.complaints if "503" not in one]
        visit.require_clean()


def test_without_a_script_the_form_sends_several(
    browser: Browser, address: str, runtime: Runtime, files: list[Path]
) -> None:
    with visiting(browser, address, java_script_enabled=False) as visit:
        page = visit.page
        page.goto(f"{address}/ui/add")
        page.get_by_label("Choose pictures").set_input_files(files)
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".outcomes .entry")).to_have_count(5)
        expect(page.locator(".outcomes .entry.no")).to_have_count(1)
    assert count_images(runtime) == 4
