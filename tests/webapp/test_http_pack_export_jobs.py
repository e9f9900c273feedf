"""Packs that a job exports: whose the ZIP is, for how long, and what a stop in the middle costs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Job
from mirada.kernel.exports import KEPT_FOR_S
from testing.gallery import assert_problem
from testing.pictures import picture
from tests.conftest import MakeRuntime
from tests.webapp.test_http_pack_exports import packed, sent, unzipped
from tests.webapp.test_http_packs import Table
from workers.runner import JobRunner


@pytest.fixture
def table(make_runtime: MakeRuntime, site_settings: dict[str, Any]) -> Table:
    """On SQLite and on MariaDB."""
    return Table(make_runtime(auth_mode="keys", **site_settings))


@pytest.fixture
def lite(make_runtime: MakeRuntime) -> Table:
    return Table(make_runtime(auth_mode="keys"))


def queued(table: Table, url: str, form: str = "signal", who: str = "ana") -> dict[str, Any]:
    reply = table.ask("POST", f"{url}/exports", {"format": form}, who)
    assert reply.status_code == 202, reply.get_json()
    job: dict[str, Any] = reply.get_json()
    assert (job["kind"], job["title"]) == ("export_pack_task", "Export a pack")
    assert reply.headers["Location"] == job["url"]
    return job


def fetched(table: Table, job: dict[str, Any], who: str = "ana") -> dict[str, bytes]:
    told = table.told("GET", job["url"], who=who)
    assert told["state"] == "done", told
    return unzipped(table.ask("GET", told["result"]["file_url"], who=who))


def folder(table: Table) -> Path:
    return Path(table.runtime.settings.data_dir) / "exports"


def kept(table: Table) -> list[str]:
    return sorted(str(path.relative_to(folder(table))) for path in folder(table).rglob("*.*"))


def test_a_job_exports_what_takes_too_long_to_wait_for(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = packed(table, *(picture(seed) for seed in range(1, 5)))
    monkeypatch.setattr("mirada.packs.exporting.MOST_STICKERS", 3)
    told = table.refused(409, "conflict", "POST", f"{url}/export", {"format": "signal"})
    assert "exports" in told
    job = queued(table, url)
    file_url = f"/api/v1/packs/exports/{job['id']}"
    assert job["result"] is None
    table.refused(409, "conflict", "GET", file_url)
    # It is the same one while it is not done.
    assert queued(table, url)["id"] == job["id"]
    table.work()
    done = table.told("GET", job["url"])
    assert (done["done"], done["total"]) == (4, 4)
    assert done["result"] == {"image_id": None, "file_url": file_url}
    files = fetched(table, job)
    told_of = json.loads(files["manifest.json"])
    assert len(told_of["stickers"]) == 4
    assert set(files) == {"manifest.json", *(each["file"] for each in told_of["stickers"])}
    # Only the result is left of it.
    (key,) = (path.name for path in folder(table).iterdir())
    assert kept(table) == [f"{key}/export.json", f"{key}/export.zip"]
    # Nobody else is told of it, an administrator not either.
    for who, status in (("ben", 404), ("root", 404), ("nobody", 401)):
        assert table.ask("GET", file_url, who=who).status_code == status
    assert table.told("GET", job["url"], who="root")["result"] is None
    assert table.ask("GET", f"/api/v1/packs/exports/{job['id'] + 1000}").status_code == 404
    # Asked for again, it is made anew, and the earlier file goes.
    assert queued(table, url)["state"] == "queued"
    table.work()
    assert [path.name for path in folder(table).iterdir()] != [key]
    assert len(list(folder(table).iterdir())) == 1


@pytest.mark.parametrize("form", ["originals", "whatsapp", "telegram"])
def test_it_is_the_same_zip_as_the_one_that_is_waited_for(lite: Table, form: str) -> None:
    url, _ = packed(lite, *(picture(seed) for seed in range(1, 4)))
    theirs = sent(lite, picture(9), "ben")
    body = {"image_ids": [theirs], "emojis": {str(theirs): ["🐶"]}}
    lite.told("POST", f"{url}/images", body)
    at_once = unzipped(lite.ask("POST", f"{url}/export", {"format": form}))
    job = queued(lite, url, form)
    lite.work()
    assert fetched(lite, job) == at_once


def test_what_a_messenger_does_not_take_ends_the_job(lite: Table) -> None:
    url, ids = packed(lite, picture(1), emojis=())
    job = queued(lite, url, "whatsapp")
    lite.work()
    told = lite.told("GET", job["url"])
    assert (told["state"], told["result"], told["attempts"]) == ("failed", None, 1)
    assert f"Picture 1 ({ids[0]})" in told["error"]["detail"]
    assert "3 stickers or more" in told["error"]["detail"]
    lite.refused(409, "conflict", "GET", f"/api/v1/packs/exports/{job['id']}")
    assert not folder(lite).exists()
    for body in ({}, {"format": "odd"}, {"format": "signal", "dry_run": True}):
        assert lite.ask("POST", f"{url}/exports", body).status_code == 422
    for who, status in (("ben", 404), ("nobody", 401)):
        asked = lite.ask("POST", f"{url}/exports", {"format": "signal"}, who)
        assert asked.status_code == status


def test_what_is_hidden_since_is_not_handed_out(lite: Table) -> None:
    theirs = sent(lite, picture(1), "ben")
    url, ids = packed(lite, picture(2))
    lite.told("POST", f"{url}/images", {"image_ids": [theirs]})
    job = queued(lite, url, "originals")
    lite.work()
    assert len(fetched(lite, job)) == 3
    file_url = f"/api/v1/packs/exports/{job['id']}"
    lite.told("PATCH", f"/api/v1/images/{theirs}", {"is_public": False}, who="ben")
    lite.refused(410, "export_expired", "GET", file_url)
    lite.told("PATCH", f"/api/v1/images/{theirs}", {"is_public": True}, who="ben")
    assert len(fetched(lite, job)) == 3
    lite.ask("DELETE", f"/api/v1/images/{ids[0]}")
    lite.refused(410, "export_expired", "GET", file_url)
    lite.told("POST", f"/api/v1/images/{ids[0]}/restore")
    assert len(fetched(lite, job)) == 3
    lite.ask("DELETE", url)
    lite.refused(410, "export_expired", "GET", file_url)


def test_an_export_is_kept_for_a_day(lite: Table) -> None:
    url, _ = packed(lite, picture(1))
    job = queued(lite, url, "originals")
    lite.work()
    (made,) = folder(lite).iterdir()
    assert lite.runtime.exports.forget_old() == 0
    long_ago = time.time() - KEPT_FOR_S - 1
    os.utime(made / "export.zip", (long_ago, long_ago))
    lite.refused(410, "export_expired", "GET", f"/api/v1/packs/exports/{job['id']}")
    (folder(lite) / "notes").mkdir()
    assert lite.runtime.exports.forget_old() == 1
    # Nothing that is no export is touched.
    assert [path.name for path in folder(lite).iterdir()] == ["notes"]


def test_the_newest_exports_of_a_person_are_kept(
    lite: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.adapters.image_store.exports.MOST_KEPT", 2)
    bens = lite.pack(sent(lite, picture(9), "ben"), who="ben")
    others = queued(lite, bens, "originals", "ben")
    lite.work()
    jobs = []
    for seed in range(3):
        jobs.append(queued(lite, lite.pack(sent(lite, picture(seed))), "originals"))
        lite.work()
        for path in folder(lite).glob("*/export.zip"):
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
    lite.refused(410, "export_expired", "GET", f"/api/v1/packs/exports/{jobs[0]['id']}")
    for job in jobs[1:]:
        assert fetched(lite, job)
    assert fetched(lite, others, "ben")
    lite.runtime.exports.remove_all_of(lite.ids["ana"])
    assert [path.name.split("-")[0] for path in folder(lite).iterdir()] == [str(lite.ids["ben"])]


def test_few_are_made_at_once_for_one_person(lite: Table) -> None:
    url, _ = packed(lite, picture(1))
    for form in ("originals", "signal", "telegram"):
        queued(lite, url, form)
    lite.refused(409, "conflict", "POST", f"{url}/exports", {"format": "whatsapp"})
    queued(lite, url, "signal")
    lite.work()
    queued(lite, url, "whatsapp")


class Killed(BaseException):
    """Stands for the end of a process: nothing is written after it."""


def test_a_worker_that_is_killed_costs_one_sticker(
    lite: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = packed(lite, *(picture(seed) for seed in range(1, 6)))
    job = queued(lite, url)
    decoder, made = lite.runtime.decoder, []
    sticker = type(decoder).sticker

    def counted(self: Any, path: Path, form: Any) -> Any:
        made.append(path)
        if len(made) == 3:
            raise Killed
        return sticker(self, path, form)

    monkeypatch.setattr(type(decoder), "sticker", counted)
    runner = JobRunner(lite.runtime)
    with pytest.raises(Killed):
        runner.run(job["id"])
    with lite.runtime.transaction() as session:
        # As after the lease of a dead worker.
        session.execute(update(Job).where(Job.id == job["id"]).values(lease_until_ms=0))
    runner.run(job["id"])
    assert len(made) == 6, "two of the five were there"
    assert len(json.loads(fetched(lite, job)["manifest.json"])["stickers"]) == 5


def test_a_result_that_is_there_is_not_made_twice(lite: Table) -> None:
    url, _ = packed(lite, picture(1))
    job = queued(lite, url)
    lite.work()
    (made,) = folder(lite).iterdir()
    before = (made / "export.zip").stat().st_mtime_ns
    with lite.runtime.transaction() as session:
        state = {"state": "queued", "finished_at_ms": None}
        session.execute(update(Job).where(Job.id == job["id"]).values(**state))
    lite.work()
    assert (made / "export.zip").stat().st_mtime_ns == before
    # A folder that is lost is told of, and made again when it is asked for.
    shutil.rmtree(folder(lite))
    lite.refused(410, "export_expired", "GET", f"/api/v1/packs/exports/{job['id']}")
    queued(lite, url)
    lite.work()
    assert fetched(lite, job)


def test_a_problem_names_what_to_do(lite: Table) -> None:
    reply = lite.ask("GET", "/api/v1/packs/exports/1")
    assert assert_problem(reply, 404, "not_found")["detail"].startswith("There is no export 1")
