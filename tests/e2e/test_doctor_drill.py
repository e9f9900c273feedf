"""A drill: fifty kills of web and worker processes while people use them, and then the doctor comes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, create_engine, select, text

from mirada.db.models import Base
from mirada.kept_folders import QUARANTINE
from mirada.kernel.copies import ALL_MADE
from testing.deployment import Deployment, Process, Web, deployed
from testing.patience import wait_until
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.drill, pytest.mark.mariadb, pytest.mark.redis]

KILLS = 50
PEOPLE = 3
SUM = "ab" * 32
PLANTED_FILES = {
    "orphan-original": [f"data/images/ab/ab/{SUM}-{n:08x}.png" for n in range(20)],
    "broken-off-upload": [f"data/images/.staging/{n:032x}" for n in range(5)],
    "orphan-copy": [f"data/derivatives/ab/ab/{SUM}-{n:08x}.png.320.2.webp" for n in range(5)],
    "temporary-file": [
        "data/derivatives/ab/ab/tmpabcdefgh",
        "data/tmpabcdefgh",
        f"data/handed/{SUM}-00000001.png.rgb",
        "faiss_indexes/costs.0123.tmp",
    ],
}
NEVER_SAME = {"mirada_leases", "mirada_jobs"}


@dataclass
class Ledger:
    """What the server has acknowledged: bytes by image, and where each image stands."""

    bytes_of: dict[int, bytes] = field(default_factory=dict)
    state: dict[int, str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, image_id: int, state: str) -> None:
        with self.lock:
            self.state[image_id] = state

    def ids(self, state: str) -> list[int]:
        with self.lock:
            return [image_id for image_id, each in self.state.items() if each == state]


class Person(threading.Thread):
    """Uploads, deletes, restores and erases, one thing after another, until told to stop."""

    def __init__(self, number: int, site: Site) -> None:
        super().__init__(daemon=True)
        self.number, self.site = number, site
        self.random = random.Random(number)
        self.seed = number * 100_000

    def run(self) -> None:
        while not self.site.is_over.is_set():
            # A server that was killed answers nobody; what was under way is not known.
            with (
                suppress(httpx2.HTTPError),
                httpx2.Client(base_url=self.site.web.url, timeout=20, trust_env=False) as http,
            ):
                while not self.site.is_over.is_set():
                    self.act(http)
            time.sleep(0.2)

    def act(self, http: httpx2.Client) -> None:
        ledger, choice = self.site.ledger, self.random.random()
        own = [each for each in ledger.ids("live") if each % PEOPLE == self.number]
        trashed = [each for each in ledger.ids("trashed") if each % PEOPLE == self.number]
        if choice < 0.6 or not own:
            self.upload(http)
        elif choice < 0.8:
            self.change(http, "DELETE", self.random.choice(own), "", "trashed")
        elif choice < 0.88:
            self.change(http, "DELETE", self.random.choice(own), "?now=true", "gone")
        elif choice < 0.97 and trashed:
            self.change(http, "POST", self.random.choice(trashed), "/restore", "live")
        elif self.number == 0:
            self.empty(http)

    def upload(self, http: httpx2.Client) -> None:
        self.seed += 1
        content = picture(self.seed, size=(160, 120))
        for _ in range(40):
            with suppress(httpx2.HTTPError):
                reply = http.post(
                    "/api/v1/images",
                    files={"file": (f"{self.seed}.png", content)},
                    headers={"Idempotency-Key": f"drill-{self.seed}"},
                )
                if reply.status_code == 201:
                    image_id = int(reply.json()["id"])
                    self.site.ledger.bytes_of[image_id] = content
                    self.site.ledger.note(image_id, "live")
                    self.site.ledger.done["uploaded"] += 1
                    return
                assert reply.status_code in (409, 503), reply.text
            if self.site.is_over.is_set():
                return
            time.sleep(0.3)

    def change(
        self, http: httpx2.Client, method: str, image_id: int, tail: str, after: str
    ) -> None:
        # Unknown until it is acknowledged: a kill may come between the two.
        self.site.ledger.note(image_id, "unknown")
        reply = http.request(method, f"/api/v1/images/{image_id}{tail}")
        if reply.status_code in (200, 204):
            self.site.ledger.note(image_id, after)
            self.site.ledger.done[after] += 1
        else:
            assert reply.status_code in (404, 409, 503), reply.text

    def empty(self, http: httpx2.Client) -> None:
        ledger = self.site.ledger
        with ledger.lock:
            for image_id, state in ledger.state.items():
                if state == "trashed":
                    ledger.state[image_id] = "unknown"
        reply = http.delete("/api/v1/trash")
        ledger.done["emptied"] += reply.status_code in (200, 202, 204)


class Site:
    """A deployment, those who use it, and whoever kills its processes."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.ledger = Ledger()
        self.is_over = threading.Event()
        self.kills: Counter[str] = Counter()
        self.web: Web = deployment.web("web", WEB_PROCESSES="2")
        self.worker: Process = deployment.worker("worker")
        self.engine = create_engine(deployment.settings["DATABASE_URL"])

    def kill(self, chance: random.Random) -> None:
        """Kill a process as the kernel would, and see to it that one serves again."""
        what = chance.random()
        if what < 0.5:
            parent = self.web.process.popen.pid
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            if children:
                with suppress(ProcessLookupError):
                    os.kill(int(chance.choice(children)), signal.SIGKILL)
                self.kills["web"] += 1
        elif what < 0.85:
            self.worker.kill()
            self.worker = self.deployment.worker("worker")
            self.kills["worker"] += 1
        else:
            port = self.web.url.rpartition(":")[2]
            self.web.process.kill()
            self.web.process = self.deployment.start(
                "web",
                *("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"),
                PORT=port,
                WEB_PROCESSES="2",
            )
            self.kills["all of web"] += 1
            self.web.wait_until_healthy()

    def use_and_kill(self) -> None:
        people = [Person(number, self) for number in range(PEOPLE)]
        for person in people:
            person.start()
        chance = random.Random(7)
        try:
            while self.kills.total() < KILLS:
                before = self.ledger.done.total()
                # Something has happened since the last kill, so that the next comes into something.
                wait_until(partial(self.has_gone_on, before), what="work going on")
                time.sleep(chance.uniform(0, 0.3))
                self.kill(chance)
        finally:
            self.is_over.set()
            for person in people:
                person.join(60)
        self.web.wait_until_healthy()

    def has_gone_on(self, before: int) -> bool:
        return self.ledger.done.total() > before + 2

    def doctor(self, *options: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
        """Return the exit code, the findings and the summary of `mirada doctor`."""
        ended = self.deployment.run(
            *("flask", "--app", "wsgi:app", "doctor", "--json", "--no-models"), *options
        )
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        assert lines, ended.stdout + ended.stderr
        return ended.returncode, lines[:-1], lines[-1]

    def rest(self) -> None:
        """Wait until no work is left, and no deletion is half done."""

        def is_idle() -> bool:
            with self.engine.connect() as connection:
                unfinished = connection.execute(
                    text("SELECT COUNT(*) FROM mirada_jobs WHERE state IN ('queued', 'running')")
                ).scalar_one()
                noted = connection.execute(
                    text("SELECT COUNT(*) FROM mirada_files_to_remove")
                ).scalar_one()
                without_copies = connection.execute(
                    text(
                        "SELECT COUNT(*) FROM mirada_contents WHERE storage_key <> '' "
                        f"AND thumbnails_edition < {ALL_MADE}"
                    )
                ).scalar_one()
            return bool(unfinished == noted == without_copies == 0)

        wait_until(is_idle, what="no work left", every_s=1)

    def stop(self) -> None:
        self.web.process.stop()
        self.worker.stop()

    def files(self) -> dict[str, str]:
        """The SHA-256 of every file by its path."""
        found = {}
        for name in ("data", "faiss_indexes"):
            for folder, _, names in os.walk(self.deployment.folder / name):
                for each in names:
                    path = Path(folder, each)
                    relative = str(path.relative_to(self.deployment.folder))
                    found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def rows(self) -> dict[str, list[str]]:
        """Every row by its table."""
        with self.engine.connect() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)).all()))
                for table in Base.metadata.sorted_tables
                if table.name not in NEVER_SAME
            }


@pytest.fixture
def site(tmp_path: Path, mariadb: MariaDbServer) -> Iterator[Site]:
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path / "drill", DATABASE_URL=mariadb.url(name), REDIS_URL=redis_url
        ) as deployment,
    ):
        site = Site(deployment)
        yield site
        site.engine.dispose()


def plant(site: Site) -> dict[str, set[str]]:
    """Plant every kind that can be mended, and return what is to be found by kind."""
    planted = {}
    for kind, names in PLANTED_FILES.items():
        for name in names:
            path = site.deployment.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"planted")
        planted[kind] = {name.removeprefix("data/") for name in names}
    # A file that lies in DATA_DIR itself is named with its folder.
    planted["temporary-file"] = {
        name if "/" in name else f"data/{name}" for name in planted["temporary-file"]
    }
    with site.engine.begin() as connection:
        planted |= plant_rows(site, connection)
    return planted


def plant_rows(site: Site, connection: Connection) -> dict[str, set[str]]:
    def run(statement: str, **values: Any) -> Any:
        return connection.execute(text(statement), values)

    live = run(
        "SELECT c.id, c.storage_key, i.id FROM mirada_contents c JOIN mirada_images i "
        "ON i.content_id = c.id WHERE i.trashed_at IS NULL ORDER BY c.id DESC LIMIT 4"
    ).all()
    (no_vector, _, _), (no_copy, copy_key, _), (waiting, _, waiting_image), _ = live
    run("DELETE FROM mirada_embeddings WHERE content_id = :i", i=no_vector)
    run("UPDATE mirada_images SET status = 'PENDING' WHERE content_id = :i", i=no_vector)
    run("UPDATE mirada_images SET status = 'PROCESSING' WHERE content_id = :i", i=waiting)
    copies = site.deployment.folder / "data/derivatives"
    (copies / f"{copy_key}.320.2.webp").unlink()
    key = f"cd/cd/{'cd' * 32}-00000001.png"
    original = site.deployment.folder / "data/images" / key
    original.parent.mkdir(parents=True, exist_ok=True)
    original.write_bytes(b"planted")
    run(
        "INSERT INTO mirada_files_to_remove (storage_key, created_at) VALUES (:k, '2020-01-01')",
        k=key,
    )
    epoch = run("SELECT db_epoch FROM mirada_installation").scalar_one()
    snapshot = site.deployment.folder / f"faiss_indexes/{epoch}/snap-planted/manifest.json"
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    snapshot.write_bytes(b"{}")
    space = run("SELECT image_space_id FROM mirada_installation").scalar_one()
    run(
        "INSERT INTO mirada_embeddings (space_id, content_id, vector, crc32, is_deleted, change_seq) "
        "VALUES (:s, 999999999, '', 0, 0, 0)",
        s=space,
    )
    run("SET foreign_key_checks = 0")
    run("INSERT INTO mirada_image_tags (image_id, tag, name) VALUES (999999999, 'cat', 'Cat')")
    run("SET foreign_key_checks = 1")
    run(
        "INSERT INTO mirada_text_contents (sha256, body, created_at) "
        "VALUES (:h, 'nobody', '2020-01-01')",
        h="e" * 64,
    )
    return {
        "no-vector": {f"content {no_vector}"},
        "missing-copies": {f"content {no_copy}"},
        "waits-without-job": {f"image {waiting_image}"},
        "departure-not-done": {f"images/{key}"},
        "orphan-index": {f"faiss_indexes/{epoch}/snap-planted"},
        "orphan-row": {"mirada_image_tags: image_id 999999999, tag cat"},
    }


def by_kind(findings: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in findings:
        found.setdefault(each["kind"], set()).add(each["subject"])
    return found


def test_after_fifty_kills_every_orphan_is_found_and_mended_and_nothing_else(site: Site) -> None:
    began = time.monotonic()
    site.use_and_kill()
    used_s = time.monotonic() - began
    site.rest()
    site.stop()
    print(f"\nkills {dict(site.kills)}, done {dict(site.ledger.done)}, {used_s:.0f} s")

    _, of_kills, told = site.doctor("--min-age", "0", "--deep")
    print(f"left by the kills: {told['found']}")
    assert {each["kind"] for each in of_kills} <= {
        *("orphan-original", "orphan-copy", "broken-off-upload", "temporary-file"),
        *("missing-copies", "orphan-index", "index-without-files", "job-given-up"),
    }
    planted = plant(site)
    files, rows = site.files(), site.rows()

    began = time.monotonic()
    code, findings, told = site.doctor("--min-age", "0")
    looked_s = time.monotonic() - began

    found = by_kind(findings)
    assert code == 1
    for kind, subjects in planted.items():
        assert subjects <= found.get(kind, set()), kind
    assert len(found["orphan-vector"]) == len(found["nobodys-text"]) == 1
    beside = {each["subject"] for each in findings}
    beside -= set().union(*planted.values(), found["orphan-vector"], found["nobodys-text"])
    assert beside == {each["subject"] for each in of_kills}
    assert (site.files(), site.rows()) == (files, rows)

    began = time.monotonic()
    _, mended, told = site.doctor("--repair", "--min-age", "0")
    repaired_s = time.monotonic() - began
    print(f"found {len(findings)}, mended {sum(told['mended'].values())}: {told['mended']}")
    print(f"looked for {looked_s:.1f} s, repaired for {repaired_s:.1f} s")
    assert {e["kind"] for e in mended if not e["is_mended"] and not e["is_note"]} <= {
        "job-given-up"
    }
    nothing_else_was_touched(site, files, rows, planted, mended)
    _, again, _ = site.doctor("--min-age", "0", "--deep")
    assert {each["kind"] for each in again if not each["is_note"]} <= {"job-given-up"}

    site.web = site.deployment.web("web-after", WEB_PROCESSES="2")
    site.worker = site.deployment.worker("worker-after")
    site.rest()
    code, left, _ = site.doctor("--deep")
    assert {each["kind"] for each in left if not each["is_note"]} <= {"job-given-up"}
    every_acknowledged_picture_is_there(site)


def nothing_else_was_touched(
    site: Site,
    files: dict[str, str],
    rows: dict[str, list[str]],
    planted: dict[str, set[str]],
    mended: list[dict[str, Any]],
) -> None:
    """Whatever has gone from its place was told, and lies in the quarantine unless it was to be erased."""
    after = site.files()
    told = {each["subject"] for each in mended}
    for path in files.keys() - after.keys():
        name = path.removeprefix("data/")
        is_told = any(name == each or path == each or path.startswith(f"{each}/") for each in told)
        assert is_told, path
        if name not in planted["departure-not-done"]:
            assert files[path] in {
                digest for where, digest in after.items() if f"/{QUARANTINE}/" in where
            }
    kept = {path: digest for path, digest in after.items() if QUARANTINE not in path}
    assert kept.items() <= files.items(), "no other file has changed or come"
    changed = {table for table, before in rows.items() if site.rows()[table] != before}
    assert changed <= {
        *("mirada_files_to_remove", "mirada_image_tags", "mirada_text_contents"),
        *("mirada_embeddings", "mirada_change_counter", "mirada_contents"),
    }


def every_acknowledged_picture_is_there(site: Site) -> None:
    ledger = site.ledger
    for image_id in ledger.ids("live"):
        reply = site.web.http.get(f"/api/v1/images/{image_id}/file")
        assert reply.status_code == 200, (image_id, reply.text)
        assert reply.content == ledger.bytes_of[image_id]
    statuses = {site.web.image(image_id)["status"] for image_id in ledger.ids("live")}
    assert statuses <= {"READY", "FAILED"}
    for image_id in ledger.ids("gone"):
        assert site.web.http.get(f"/api/v1/images/{image_id}").status_code == 404
    for image_id in ledger.ids("trashed"):
        # In the trash it is seen by nobody, and comes back whole.
        assert site.web.http.get(f"/api/v1/images/{image_id}").status_code == 404
        assert site.web.http.post(f"/api/v1/images/{image_id}/restore").status_code == 200
        reply = site.web.http.get(f"/api/v1/images/{image_id}/file")
        assert reply.content == ledger.bytes_of[image_id]
    print(
        f"there: {len(ledger.ids('live'))} live and {len(ledger.ids('trashed'))} restored, "
        f"{len(ledger.ids('gone'))} gone, {len(ledger.ids('unknown'))} not known"
    )
