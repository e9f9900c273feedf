"""What a worker process counts of its jobs, and the port on which it tells."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mirada.config import PROJECT_ROOT
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, Stopping
from mirada.kernel.errors import InvalidInput, LeaseLost, Unavailable
from mirada.metrics import multiprocess
from mirada.metrics.instruments import JOB_SECONDS
from testing.patience import PATIENCE_S
from testing.scrape import OPENMETRICS, TEXT, Scrape
from testing.servers.process import free_port
from testing.worksite import Site
from tests.conftest import MakeRuntime
from workers import metrics_server
from workers.runner import JobRunner, run_job


def attempts_so_far(kind: str, outcome: str) -> float:
    samples = [sample for family in JOB_SECONDS.collect() for sample in family.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name.endswith("_count") and sample.labels == {"kind": kind, "outcome": outcome}
    )


def nothing_to_do(runtime: Any, attempt: Attempt) -> None:
    with runtime.transaction() as session:
        attempts.finish(session, attempt.job.id, attempt.token)


def raising(error: Exception) -> Callable[..., None]:
    def work(*_: Any) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        (nothing_to_do, "done"),
        (raising(Unavailable("Not now.")), "retried"),
        (raising(ZeroDivisionError("a bug")), "retried"),
        (raising(InvalidInput("Never.")), "failed"),
        (raising(Stopping("Going home.")), "given_back"),
        (raising(LeaseLost("Too late.")), "lost"),
    ],
)
def test_every_attempt_is_counted_by_how_it_ended(
    site: Site, work: Callable[..., None], outcome: str
) -> None:
    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "chore").id
    before = attempts_so_far("chore", outcome)
    runner = JobRunner(site.runtime, kinds={"chore": Kind("chore", work)})
    runner.run(job_id)
    runner.stop(0)
    assert attempts_so_far("chore", outcome) - before == 1


def test_work_that_this_version_does_not_know_has_one_name(site: Site) -> None:
    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "private words").id
    before = attempts_so_far("unknown", "failed")
    run_job(site.runtime, job_id)
    assert attempts_so_far("unknown", "failed") - before == 1
    assert attempts_so_far("private words", "failed") == 0


@pytest.fixture
def port(make_runtime: MakeRuntime) -> Iterator[int]:
    """The port of a process that serves its metrics."""
    port = free_port()
    stop = metrics_server.serve(make_runtime(worker_metrics_port=port))
    yield port
    stop()


def get(port: int, path: str = "/metrics", **headers: str) -> httpx2.Response:
    url = f"http://127.0.0.1:{port}{path}"
    return httpx2.get(url, headers=headers, trust_env=False, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", OPENMETRICS),
        ("application/openmetrics-text;version=abc", OPENMETRICS),
    ],
)
def test_a_worker_tells_what_it_knows_by_itself(port: int, accept: str, content_type: str) -> None:
    reply = get(port, "/metrics?name[]=x", accept=accept)
    assert (reply.status_code, reply.headers["content-type"]) == (200, content_type)
    found = Scrape(reply.text, content_type)
    assert found["mirada_database_connections_limit"] == 32
    assert found["process_resident_memory_bytes"] > 1e6
    assert found.value("mirada_database_up") is None


def test_nothing_else_is_served_there(port: int) -> None:
    assert get(port, "/api/v1/images").status_code == 404
    assert httpx2.post(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 501


def test_a_scraper_that_says_nothing_holds_up_no_other(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        assert get(port).status_code == 200


def test_a_port_that_is_taken_is_logged_and_no_reason_to_stop(
    make_runtime: MakeRuntime, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    metrics_server.serve(make_runtime(worker_metrics_port=port))()
    assert "WORKER_METRICS_PORT of its own" in caplog.text
    assert get(port).status_code == 200


def test_without_the_setting_no_port_is_opened(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics_server.serve(make_runtime())()
    assert "Metrics" not in caplog.text


# Several processes.

FORKING = """
import os, sys
from pathlib import Path
from mirada.metrics import multiprocess
multiprocess.IN_MEMORY = Path(sys.argv[1])
multiprocess.share()
multiprocess.share()
[folder] = Path(sys.argv[1]).iterdir()
from mirada.metrics.instruments import DATABASE_CONNECTIONS_LIMIT, JOB_SECONDS, UPLOADS
pids = []
for number in (1, 2, 3):
    pid = os.fork()
    if not pid:
        multiprocess.begin_child()
        UPLOADS.labels("new").inc(number)
        JOB_SECONDS.labels("chore", "done").observe(number)
        DATABASE_CONNECTIONS_LIMIT.set(10)
        os._exit(0)
    os.waitpid(pid, 0)
    pids.append(pid)
(folder / "counter_1.db").touch()
def show():
    found = {
        sample.name: sample.value for family in multiprocess.gather() for sample in family.samples
    }
    print(
        found["mirada_uploads_total"],
        found["mirada_job_attempt_duration_seconds_sum"],
        found["mirada_job_attempt_duration_seconds_count"],
        found["mirada_database_connections_limit"],
    )
show()
multiprocess.end_child(pids[0])
show()
multiprocess.end()
print(folder.exists())
"""


def run_python(code: str, *arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=PROJECT_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_processes_did_outlives_them_and_what_they_are_does_not(tmp_path: Path) -> None:
    assert run_python(FORKING, str(tmp_path)).splitlines() == [
        "6.0 6.0 3.0 30.0",
        "6.0 6.0 3.0 20.0",
        "False",
    ]


def test_a_folder_for_other_programs_is_not_taken(tmp_path: Path) -> None:
    code = (
        "from mirada.metrics.instruments import UPLOADS; UPLOADS.labels('new').inc(2); "
        "print(UPLOADS.labels('new')._value.get())"
    )
    for variable in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        assert run_python(code, **{variable: str(tmp_path / "not there")}) == "2.0\n"


def test_what_killed_servers_left_is_removed_and_nobody_else_s(tmp_path: Path) -> None:
    old = {name: tmp_path / f"mirada-metrics-{name}" for name in ("left", "held", "young")}
    foreign = tmp_path / "others"
    for folder in (*old.values(), foreign):
        folder.mkdir()
        (folder / "counter_1.db").touch()
    for folder in (old["left"], old["held"], foreign):
        os.utime(folder, (1, 1))
    holding = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); "
            "print('held', flush=True); sys.stdin.read()",
            str(old["held"]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"held\n"
        multiprocess._sweep(tmp_path)
    finally:
        holding.communicate()
    assert {folder.name for folder in tmp_path.iterdir()} == {
        "mirada-metrics-held",
        "mirada-metrics-young",
        "others",
    }
