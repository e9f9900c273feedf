"""Imports and exports over HTTP: how far each is, who is told, and what to do where one was stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mirada.transfer.claims import this_host
from mirada.transfer.seen import MEND_IT, RUN_AGAIN, told_of
from testing.application import create_app
from testing.gallery import Gallery, assert_problem
from testing.runs_of_transfers import SILENT_MS, keep_run
from tests.webapp.test_http_auth import KeyOf

REFUSED = {"row": 3, "external_id": "a-3", "reason": "Its picture 'a' is not below /srv/old/in."}


@pytest.fixture
def stocked(make_runtime: Callable[..., Any], site_settings: dict[str, Any]) -> Gallery:
    """No pictures, on each database."""
    runtime = make_runtime(auth_mode="open", **site_settings)
    return Gallery(runtime, create_app(runtime).test_client())


def told(gallery: Gallery, run_id: int) -> dict[str, Any]:
    reply = gallery.get(f"/api/v1/transfers/{run_id}")
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.get_json()
    return body


def test_a_run_is_told_with_its_progress_and_what_was_refused(stocked: Gallery) -> None:
    run_id = keep_run(stocked.runtime, "local", refused=1, done=13, refusals=[REFUSED], resumed=2)
    body = told(stocked, run_id)
    assert (body["kind"], body["source"], body["state"]) == ("import", "shop", "running")
    assert (body["done"], body["total"], body["taken"], body["refused"]) == (13, 40, 12, 1)
    assert (body["resumed"], body["hint"], body["error"], body["finished_at"]) == (2,) + (None,) * 3
    # Where the folder is on that machine is nobody's who asks from elsewhere.
    reason = "Its picture 'a' is not below in."
    assert body["refusals"] == [{"row": 3, "external_id": "a-3", "reason": reason}]
    assert body["started_at"] < body["seen_at"]


def test_a_silent_run_was_stopped_until_a_later_one_goes_on(stocked: Gallery) -> None:
    run_id = keep_run(stocked.runtime, "local", SILENT_MS)
    assert (told(stocked, run_id)["state"], told(stocked, run_id)["hint"]) == ("stopped", RUN_AGAIN)
    later = keep_run(stocked.runtime, "local", resumed=1)
    assert (told(stocked, run_id)["state"], told(stocked, run_id)["hint"]) == ("stopped", None)
    assert told(stocked, later)["state"] == "running"


def test_a_run_whose_process_is_gone_was_stopped_at_once(stocked: Gallery) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    run_id = keep_run(stocked.runtime, "local", place=f"{this_host()}:{process.pid}")
    assert told(stocked, run_id)["state"] == "stopped"
    # Of another machine only its silence tells.
    elsewhere = keep_run(stocked.runtime, "local", place=f"elsewhere:{process.pid}")
    assert told(stocked, elsewhere)["state"] == "running"


def test_a_failed_run_says_why_and_an_export_names_its_folder_alone(stocked: Gallery) -> None:
    failed = {
        "state": "failed",
        "kind": "export",
        "subject": "/srv/backups/of ana",
        "error": "The original is damaged: /srv/data/images/ab/cd.png, of mysql://ana:pw@db/x.",
    }
    body = told(stocked, keep_run(stocked.runtime, "local", **failed))
    assert (body["kind"], body["source"], body["state"]) == ("export", "of ana", "failed")
    assert body["error"] == "The original is damaged: cd.png, of mysql://db/x."
    assert body["hint"] == MEND_IT
    done = told(stocked, keep_run(stocked.runtime, "local", state="done", ended_at_ms=1))
    assert (done["state"], done["hint"]) == ("ended", None)
    assert done["finished_at"].startswith("1970-01-01")


def test_the_list_is_walked_by_cursors_newest_first(stocked: Gallery) -> None:
    ids = [keep_run(stocked.runtime, "local") for _ in range(5)]
    found, address = [], "/api/v1/transfers?limit=2"
    while address:
        page = stocked.get(address).get_json()
        found += [each["id"] for each in page["results"]]
        address = page["next"]
    assert found == ids[::-1]
    assert_problem(stocked.get("/api/v1/transfers?odd=1"), 422, "invalid_input")


def test_others_are_told_nothing_and_an_administrator_all(guarded: Gallery, key_of: KeyOf) -> None:
    ana, ben, boss = key_of("ana"), key_of("ben"), key_of("boss", is_administrator=True)
    run_id = keep_run(guarded.runtime, "ana", SILENT_MS)
    # Another's run of a source that is called the same changes nothing for her.
    keep_run(guarded.runtime, "ben")

    def seen(who: dict[str, str]) -> list[str]:
        return [each["url"] for each in guarded.get("/api/v1/transfers", who).get_json()["results"]]

    address = f"/api/v1/transfers/{run_id}"
    assert seen(ana) == [address]
    assert address not in seen(ben)
    assert len(seen(boss)) == 2
    assert guarded.get(address, ana).get_json()["hint"] == RUN_AGAIN
    problem = assert_problem(guarded.get(address, ben), 404, "not_found")
    assert problem["detail"] == f"There is no import or export {run_id}."
    assert guarded.get(address).status_code == 401


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("There is no ~/in/a.png.", "There is no a.png."),
        ("'/a/b/c' is no folder", "'c' is no folder"),
        ("12/40 of mine, and/or yours", "12/40 of mine, and/or yours"),
        ("static/a/1.png is missing", "static/a/1.png is missing"),
        ("postgresql+psycopg://a:b%40@h:5432/x", "postgresql+psycopg://h:5432/x"),
    ],
)
def test_texts_keep_no_passwords_and_no_ways(text: str, left: str) -> None:
    assert told_of(text) == left
