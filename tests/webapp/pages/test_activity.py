"""Activity: jobs in sentences, with forms that work without a script."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from mirada.db.models import Content, Job, JobState, Lease
from mirada.db.session import now_ms
from mirada.jobs import attempts, leases
from mirada.jobs.hints import ALIKE, HINTS
from mirada.kernel.errors import NotFound
from testing.gallery import Gallery
from testing.runs_of_transfers import SILENT_MS, keep_run
from workers.kinds import KINDS
from workers.sweeper import Sweeper

KeyOf = Callable[..., dict[str, str]]
HTML = {"Accept": "text/html"}
MINUTES_AWAY = 125_000


def text_of(gallery: Gallery, headers: dict[str, str] | None = None, path: str = "") -> str:
    reply = gallery.get(f"/ui/activity{path}", {**HTML, **(headers or {})})
    assert reply.status_code == 200, reply.text
    return html.unescape(reply.text)


def said(text: str) -> str:
    """Return the sentences at the head of the page."""
    found = re.search(r'<p id="told"[^>]*>(.*?)</p>', text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split())


def section(text: str, name: str) -> str:
    """Return a section of the page; empty where it is not there."""
    found = re.search(rf'<section aria-labelledby="h-{name}">(.*?)</section>', text, re.DOTALL)
    return "" if found is None else found[1]


def heading(text: str) -> str:
    """Return the words of a section's heading."""
    found = re.search(r"<h2[^>]*>(.*?)</h2>", text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split())


def change(gallery: Gallery, **values: Any) -> None:
    """Write these values into every job."""
    with gallery.runtime.transaction() as session:
        session.execute(update(Job).values(**values))


def fail(gallery: Gallery, error: Exception) -> int:
    """Let the newest job fail for good, and return its id."""
    with gallery.runtime.transaction() as session:
        newest = session.execute(select(Job.id).order_by(Job.id.desc()).limit(1)).scalar_one()
        job = attempts.claim(session, newest)
        assert job is not None
        attempts.fail(session, newest, job.lease_token or "", error, KINDS[job.kind])
    return int(newest)


def state_of(gallery: Gallery, job_id: int) -> str:
    with gallery.runtime.reading() as session:
        return str(session.get_one(Job, job_id).state)


def test_nothing_to_do_is_said_in_one_sentence(gallery: Gallery) -> None:
    Sweeper(gallery.runtime).sweep()
    text = text_of(gallery)
    assert said(text) == "Nothing is being worked on. A worker is there."
    assert re.search(r'id="away" hidden', text)


def test_running_waiting_and_failed_jobs_are_told_in_one_sentence(gallery: Gallery) -> None:
    for _ in range(3):
        gallery.upload()
    fail(gallery, NotFound("It is gone."))
    with gallery.runtime.transaction() as session:
        first = session.execute(select(Job.id).order_by(Job.id).limit(1)).scalar_one()
        attempts.claim(session, first)
        started = session.execute(select(now_ms())).scalar_one() - 10_000
        session.execute(
            update(Job)
            .where(Job.id == first)
            .values(progress_done=20, progress_total=100, started_at_ms=started)
        )
    text = text_of(gallery)
    told = re.sub(r"about \d+ seconds", "about N seconds", said(text))
    assert told.startswith("1 job is running; 1 waits, about N seconds; 1 failed.")
    assert '<progress aria-label="Make a picture searchable" max="100" value="20">' in text
    assert "20 of 100" in section(text, "running")


def test_a_worker_that_is_away_is_told_with_how_to_start_one(gallery: Gallery) -> None:
    Sweeper(gallery.runtime).sweep()
    with gallery.runtime.transaction() as session:
        now = session.execute(select(now_ms())).scalar_one()
        seen = now - MINUTES_AWAY + leases.SWEEPER_LEASE_S * 1000
        session.execute(
            update(Lease).where(Lease.name == leases.SWEEPER).values(lease_until_ms=seen)
        )
    text = text_of(gallery)
    assert "The worker has not been seen for 2 minutes" in said(text)
    assert re.search(r'id="away">', text)
    assert "<code>bin/mirada run</code>" in text


def test_a_failed_job_has_picture_title_reason_hint_and_retry(gallery: Gallery) -> None:
    image = gallery.upload()
    job_id = fail(gallery, NotFound("It is <gone>."))
    raw = gallery.get("/ui/activity", HTML).text
    assert "It is &lt;gone&gt;." in raw
    failed = section(html.unescape(raw), "failed")
    # Its lasting address: a second visit asks for no picture again.
    assert f'src="{image["picture"]["src"]["320"]}"' in failed
    assert "/thumbnail" not in failed
    assert "Make a picture searchable" in failed
    assert "What the work was about is gone. There is nothing to do." in failed
    address = f"/ui/activity/jobs/{job_id}/retry"
    assert f'action="{address}"' in failed
    reply = gallery.client.post(address, data={"back": "/ui/activity?x=1"})
    assert (reply.status_code, reply.headers["Location"]) == (303, "/ui/activity?x=1")
    assert state_of(gallery, job_id) == "queued"
    # Another tab shows the button still.
    assert gallery.client.post(address).status_code == 303


def test_all_failed_jobs_are_retried_together_and_one_is_cancelled(gallery: Gallery) -> None:
    for _ in range(2):
        gallery.upload()
        job_id = fail(gallery, NotFound("It is gone."))
    assert 'action="/ui/activity/retry"' in text_of(gallery)
    assert gallery.client.post("/ui/activity/retry?part=1").status_code == 204
    assert state_of(gallery, job_id) == "queued"
    assert section(text_of(gallery), "failed") == ""
    assert gallery.client.post(f"/ui/activity/jobs/{job_id}/cancel").status_code == 303
    assert state_of(gallery, job_id) == "cancelled"
    ended = section(text_of(gallery), "ended")
    assert "Cancelled" in ended
    assert heading(ended) == "Ended in the last 24 hours 1 cancelled"
    assert f"/ui/activity/jobs/{job_id}/retry" in ended


def test_what_cannot_be_cancelled_has_no_button_and_says_why_when_asked(gallery: Gallery) -> None:
    gallery.upload()
    named = next(kind.name for kind in KINDS.values() if kind.why_not_cancelled is not None)
    change(gallery, kind=named, subject_id=None)
    with gallery.runtime.reading() as session:
        job_id = session.execute(select(Job.id)).scalar_one()
    assert "/cancel" not in text_of(gallery)
    reply = gallery.client.post(f"/ui/activity/jobs/{job_id}/cancel", headers=HTML)
    assert reply.status_code == 409
    assert "This cannot be done now" in reply.text


def test_more_failed_jobs_than_a_page_holds_are_reached_by_a_link(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.jobs.activity.MOST_FAILED", 2)
    ids = []
    for _ in range(3):
        gallery.upload()
        ids.append(fail(gallery, NotFound("It is gone.")))
    first = section(text_of(gallery), "failed")
    assert re.findall(r'id="job-(\d+)"', first) == [str(ids[2]), str(ids[1])]
    link = re.search(r'rel="next" href="/ui/activity([^"]+)"', first)
    assert link is not None
    assert re.findall(r'id="job-(\d+)"', section(text_of(gallery, path=link[1]), "failed")) == [
        str(ids[0])
    ]


def test_what_was_done_stands_with_its_newest_end_first(gallery: Gallery) -> None:
    for _ in range(2):
        gallery.upload()
    with gallery.runtime.transaction() as session:
        now = session.execute(select(now_ms())).scalar_one()
        ids = list(session.execute(select(Job.id).order_by(Job.id)).scalars())
        for job_id, ago_s in zip(ids, (60, 3_600), strict=True):
            ended = now - ago_s * 1000
            values = {"state": JobState.DONE, "finished_at_ms": ended, "changed_at_ms": ended}
            session.execute(update(Job).where(Job.id == job_id).values(**values))
    ended = section(text_of(gallery), "ended")
    # The first one was asked for first, and ended last.
    assert re.findall(r'id="job-(\d+)"', ended) == [str(job_id) for job_id in ids]
    assert "Done 60 seconds ago" in " ".join(ended.split())
    assert heading(ended) == "Ended in the last 24 hours 2 done"


def test_done_and_cancelled_jobs_are_counted_apart(gallery: Gallery) -> None:
    for _ in range(3):
        gallery.upload()
    change(gallery, state=JobState.DONE, finished_at_ms=now_ms(), changed_at_ms=now_ms())
    with gallery.runtime.transaction() as session:
        newest = session.execute(select(Job).order_by(Job.id.desc()).limit(1)).scalar_one()
        newest.state = JobState.CANCELLED
    told = gallery.get("/api/v1/jobs/summary").get_json()
    assert (told["done_24h"], told["cancelled_24h"]) == (2, 1)
    assert heading(section(text_of(gallery), "ended")) == (
        "Ended in the last 24 hours 2 done, 1 cancelled"
    )
    spanish = section(text_of(gallery, {"Accept-Language": "es"}), "ended")
    assert heading(spanish) == "Terminados en las últimas 24 horas 2 hechos, 1 cancelado"


def test_a_picture_of_a_job_has_the_ground_on_which_it_is_seen(gallery: Gallery) -> None:
    gallery.upload(degrees=0)
    with gallery.runtime.transaction() as session:
        session.execute(
            update(Content).values(
                placeholder="IAgCBw==", has_alpha=True, colour="#fafafa", lightness=0.95
            )
        )
    assert 'class="clear bright"' in text_of(gallery)


def test_nobody_sees_or_changes_the_jobs_of_others(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben = key_of("ana"), key_of("ben")
    guarded.upload(headers=ana, is_public="false", caption="secret")
    job_id = fail(guarded, NotFound("The secret is gone."))
    seen = text_of(guarded, ben)
    assert (f"job-{job_id}" in seen, "secret" in seen) == (False, False)
    assert "1 failed" not in said(seen)
    for act in ("retry", "cancel"):
        address = f"/ui/activity/jobs/{job_id}/{act}"
        assert guarded.client.post(address, headers=ben).status_code == 404
    assert guarded.client.post("/ui/activity/retry", headers=ben).status_code == 303
    assert state_of(guarded, job_id) == "failed"
    # An administrator sees the job, and nobody's private picture.
    root = text_of(guarded, key_of("root", is_administrator=True))
    assert f"job-{job_id}" in root
    assert "<img" not in section(root, "failed")


def test_nobody_at_all_is_asked_to_sign_in(guarded: Gallery) -> None:
    for path in ("/ui/activity", "/ui/index", "/ui/usage"):
        assert guarded.get(path, HTML).status_code in (303, 401)


@pytest.mark.parametrize(
    ("language", "title", "hint"),
    [
        ("pt", "Tornar uma imagem pesquisável", "Não há nada a fazer"),
        ("es", "Hacer que una imagen se encuentre", "No hay nada que hacer"),
    ],
)
def test_titles_and_hints_are_in_the_reader_s_language(
    gallery: Gallery, language: str, title: str, hint: str
) -> None:
    gallery.upload()
    fail(gallery, NotFound("It is gone."))
    failed = section(text_of(gallery, {"Accept-Language": language}), "failed")
    assert title in failed
    assert hint in failed


def test_what_a_script_asks_for_has_no_frame_and_tells_where_a_stream_goes_on(
    gallery: Gallery,
) -> None:
    part = gallery.get("/ui/activity?part=1", HTML).text
    assert "<html" not in part
    since = re.search(r'<template id="part-told" data-since="(\d+)"', part)
    assert since is not None
    told = gallery.get("/api/v1/jobs/summary").get_json()["since"]
    assert 0 <= told - int(since[1]) < 60_000


def test_every_error_has_words_of_its_own() -> None:
    assert set(ALIKE.values()) <= set(HINTS)


def plain(text: str) -> str:
    """Return the words of a part of a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_an_import_that_runs_has_a_bar_and_its_refused_rows(gallery: Gallery) -> None:
    refused = {"row": 3, "external_id": "a-3", "reason": "It names no <picture>."}
    values = {"refused": 1, "refusals": [refused], "resumed": 1, "already_there": 5}
    run_id = keep_run(gallery.runtime, "local", **values)
    raw = gallery.get("/ui/activity", HTML).text
    assert "It names no &lt;picture&gt;." in raw
    shown = re.search(r'<section aria-labelledby="h-transfers" data-asks>.*?</section>', raw, re.S)
    assert shown is not None
    assert f'id="transfer-{run_id}" data-state="running"' in shown[0]
    assert '<progress aria-label="Import from" max="40" value="12">' in shown[0]
    words = plain(shown[0])
    assert "Import from shop 12 of 40" in words
    assert "12 taken, 5 were there, 1 refused." in words
    assert "It goes on after 1 run that came to no end." in words
    assert "Row 3 a-3 : It names no" in words
    assert said(html.unescape(raw)).startswith("1 import or export is running.")


def test_a_stopped_and_a_failed_import_say_what_to_do(gallery: Gallery) -> None:
    keep_run(gallery.runtime, "local", SILENT_MS)
    failed = {"state": "failed", "subject": "post", "error": "The database is away."}
    keep_run(gallery.runtime, "local", **failed)
    shown = section(text_of(gallery), "transfers")
    words = plain(shown)
    assert "Stopped 2 minutes ago. 12 taken. Run the same command again" in words
    assert "See to what the error says, then run the same command again" in words
    assert "The database is away." in words
    assert "<progress" not in shown
    assert said(text_of(gallery)).startswith("Nothing is being worked on.")
    for language, asked in (
        ("pt", "Execute o mesmo comando outra vez"),
        ("es", "Ejecute la misma orden"),
    ):
        assert asked in section(text_of(gallery, {"Accept-Language": language}), "transfers")


def test_runs_of_the_day_before_and_of_others_are_not_shown(
    guarded: Gallery, key_of: KeyOf
) -> None:
    ana, ben, root = key_of("ana"), key_of("ben"), key_of("root", is_administrator=True)
    day_ms = 24 * 60 * 60 * 1000
    old = keep_run(guarded.runtime, "ana", day_ms + 60_000, state="done")
    new = keep_run(guarded.runtime, "ana", day_ms - 60_000, state="done")
    for who in (ana, root):
        shown = section(text_of(guarded, who), "transfers")
        assert (f"transfer-{new}" in shown, f"transfer-{old}" in shown) == (True, False)
        assert "data-asks" not in shown
    assert section(text_of(guarded, ben), "transfers") == ""
