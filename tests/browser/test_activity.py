"""Activity and Index as people watch them: bars move, failures are retried, a worker goes and comes back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from mirada.db.models import Job, Lease
from mirada.db.transfer_models import Transfer
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import attempts, leases
from mirada.kernel.errors import NotFound
from mirada.runtime import Runtime
from testing.app_server import served
from testing.application import create_app
from testing.browsing import visiting
from testing.gallery import Gallery
from testing.runs_of_transfers import SILENT_MS, keep_run
from testing.worker_apart import WorkerProcess
from workers.kinds import KINDS
from workers.sweeper import Sweeper

pytestmark = pytest.mark.browser
LEASE_MS = 35_000


@pytest.fixture
def gallery(runtime: Runtime, client: Any) -> Gallery:
    """Pictures of the local user, and a worker that was there a moment ago."""
    Sweeper(runtime).sweep()
    return Gallery(runtime, client)


def fail(runtime: Runtime) -> int:
    """Break the newest picture's job on purpose, and return its id."""
    newest = select(Job.id).where(Job.kind == CREATE_EMBEDDINGS).order_by(Job.id.desc()).limit(1)
    with runtime.transaction() as session:
        job_id = session.execute(newest).scalar_one()
        job = attempts.claim(session, job_id)
        assert job is not None
        error = NotFound("The file is gone.")
        attempts.fail(session, job_id, job.lease_token or "", error, KINDS[job.kind])
    return int(job_id)


def report(runtime: Runtime, job_id: int, token: str, done: int) -> None:
    with runtime.transaction() as session:
        attempts.report_progress(session, job_id, token, done, 400)


def test_a_rebuild_is_followed_by_its_bar_until_it_is_done(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    runtime = gallery.runtime
    gallery.upload(degrees=0)
    with visiting(browser, address) as visit:
        page = visit.go("/ui/index")
        page.get_by_role("button", name="Rebuild Pictures").click()
        row = page.locator(".job")
        row.wait_for()
        job_id = int(str(row.get_attribute("id")).removeprefix("job-"))
        with runtime.transaction() as session:
            job = attempts.claim(session, job_id)
        assert job is not None
        token = job.lease_token or ""
        for done in (100, 300):
            report(runtime, job_id, token, done)
            page.locator(f".job progress[value='{done}'][max='400']").wait_for()
        expect(row.locator(".count")).to_have_text("300 of 400")
        with runtime.transaction() as session:
            attempts.finish(session, job_id, token)
        page.get_by_role("button", name="Rebuild Pictures").wait_for()
        visit.require_clean()
        # It came by one stream, and by no question now and then.
        assert len([one for one in visit.asked if "/api/v1/events" in one]) == 1


def test_a_failed_job_is_retried_and_one_more_fails_while_one_looks(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    gallery.upload()
    first = fail(gallery.runtime)
    with visiting(browser, address, viewport={"width": 390, "height": 800}) as visit:
        page = visit.go("/ui/activity")
        page.locator(f"#retry-{first}").focus()
        page.keyboard.press("Enter")
        page.locator(f"#job-{first}[data-state='queued']").wait_for()
        assert page.evaluate("document.activeElement.id") == "work"
        gallery.upload()
        second = fail(gallery.runtime)
        page.locator(f"#job-{second}[data-state='failed']").wait_for()
        expect(page.locator("#told .sentence")).to_contain_text("1 failed")
        gallery.upload()
        again = fail(gallery.runtime)
        page.locator(f"#job-{again}[data-state='failed']").wait_for()
        page.locator("#retry-all").click()
        for job_id in (again, second):
            page.locator(f"#job-{job_id}[data-state='queued']").wait_for()
        expect(page.locator("#retry-all")).to_have_count(0)
        visit.require_clean()


def test_without_a_script_a_link_shows_what_is_new_and_forms_work(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    gallery.upload()
    job_id = fail(gallery.runtime)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/ui/activity")
    page.get_by_role("button", name="Retry Make a picture searchable").click()
    assert page.locator(f"#job-{job_id}").get_attribute("data-state") == "queued"
    fail(gallery.runtime)
    page.get_by_role("link", name="Refresh").click()
    assert page.locator(f"#job-{job_id}").get_attribute("data-state") == "failed"
    context.close()


def test_a_worker_that_goes_and_comes_back_is_told(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    with visiting(browser, address) as visit:
        page = visit.go("/ui/activity")
        assert not page.locator("#away").is_visible()
        with gallery.runtime.transaction() as session:
            over = update(Lease).where(Lease.name == leases.SWEEPER)
            session.execute(over.values(lease_until_ms=Lease.lease_until_ms - LEASE_MS))
        page.locator("#away").wait_for()
        expect(page.locator("#told")).to_contain_text("The worker has not been seen for")
        Sweeper(gallery.runtime).sweep()
        page.locator("#away").wait_for(state="hidden")
        expect(page.locator("#told")).to_contain_text("A worker is there.")
        visit.require_clean()


def test_a_refused_stream_is_replaced_by_questions_and_asked_for_again(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    gallery.upload()
    with visiting(browser, address) as visit:
        visit.page.clock.install()
        visit.page.route("**/api/v1/events**", lambda route: route.fulfill(status=503))
        with visit.page.expect_response("**/api/v1/events**"):
            page = visit.go("/ui/activity")
        job_id = fail(gallery.runtime)
        with page.expect_response("**/ui/activity?part=1"):
            page.clock.run_for(6_000)
        page.clock.run_for(1_000)
        page.locator(f"#job-{job_id}[data-state='failed']").wait_for()
        page.unroute("**/api/v1/events**")
        with page.expect_response(lambda reply: "/api/v1/events" in reply.url and reply.ok):
            for _ in range(14):
                page.clock.run_for(5_000)


def test_a_page_in_the_background_holds_no_stream(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    gallery.upload()
    with visiting(browser, address) as visit:
        page = visit.go("/ui/activity")
        with page.expect_event("requestfailed", lambda request: "/api/v1/events" in request.url):
            page.evaluate(hide, True)
        job_id = fail(gallery.runtime)
        with page.expect_request("**/api/v1/events**") as asked:
            page.evaluate(hide, False)
        page.locator(f"#job-{job_id}[data-state='failed']").wait_for()
        assert "since=" in asked.value.url


@pytest.mark.drill
@pytest.mark.redis
def test_a_worker_process_is_killed_and_another_is_started(
    browser: Browser, make_runtime: Callable[..., Runtime], redis_url: str, tmp_path: Path
) -> None:
    runtime = make_runtime(redis_url=redis_url)
    first = WorkerProcess(runtime, tmp_path)
    with served(create_app(runtime)) as address, visiting(browser, address) as visit:
        page = visit.page
        page.goto(f"{address}/ui/activity")
        page.locator("#away").wait_for(state="hidden")
        first.end(signal.SIGKILL)
        page.locator("#away").wait_for()
        expect(page.locator("#told")).to_contain_text("has not been seen for")
        expect(page.locator("#away code")).to_have_text("bin/mirada worker")
        second = WorkerProcess(runtime, tmp_path)
        page.locator("#away").wait_for(state="hidden")
        assert second.end(signal.SIGTERM) == 0, second.log.read_text()
        visit.require_clean()


def test_an_import_is_followed_until_it_was_stopped(
    browser: Browser, address: str, gallery: Gallery
) -> None:
    runtime = gallery.runtime
    refused = {"row": 3, "external_id": "a-3", "reason": "It names no picture."}
    run_id = keep_run(runtime, "local", refused=1, refusals=[refused])
    with visiting(browser, address) as visit:
        visit.page.clock.install()
        page = visit.go("/ui/activity")
        row = page.locator(f"#transfer-{run_id}")
        expect(row.locator(".count")).to_have_text("12 of 40")
        expect(page.locator("#told .sentence")).to_have_text("1 import or export is running.")
        row.locator("summary").click()
        for values, shown in (
            ({"done": 30}, "[data-state='running'] progress[value='30']"),
            ({"seen_at_ms": Transfer.seen_at_ms - SILENT_MS}, "[data-state='stopped'] .why"),
        ):
            with runtime.transaction() as session:
                session.execute(update(Transfer).values(**values))
            with page.expect_response("**/ui/activity?part=1"):
                page.clock.run_for(6_000)
            page.locator(f"#transfer-{run_id}{shown}").wait_for()
            # What was opened stays so, and what has the focus keeps it.
            expect(row.get_by_text("It names no picture.")).to_be_visible()
            assert page.evaluate("document.activeElement.id") == f"refused-of-{run_id}"
        expect(row).to_contain_text("Run the same command again")
        visit.require_clean()
