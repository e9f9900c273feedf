"""Two web processes and a worker, scraped as an operator would: what all of them did adds up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from testing.deployment import Deployment, Web, deployed, wait_until
from testing.patience import PATIENCE_S
from testing.pictures import picture
from testing.scrape import TEXT, Scrape
from testing.servers.mariadb import MariaDbServer
from testing.servers.process import free_port
from testing.servers.redis import redis_server
from webapp.serving import PUBLISH_EVERY_S

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]

SHARED = Path("/dev/shm")
SEARCHES = 24
WORDS = ("a cat", "a dog", "um gato")


@dataclass
class Site:
    """A web server of two processes, and a worker that serves its metrics."""

    web: Web
    worker_port: int

    def scrape(self) -> Scrape:
        reply = self.web.http.get("/metrics")
        assert reply.status_code == 200, reply.text
        return Scrape(reply.text)

    def scrape_worker(self) -> Scrape:
        url = f"http://127.0.0.1:{self.worker_port}/metrics"
        reply = httpx2.get(url, trust_env=False, timeout=PATIENCE_S)
        assert (reply.status_code, reply.headers["content-type"]) == (200, TEXT)
        return Scrape(reply.text)

    def children(self) -> list[int]:
        pid = self.web.process.popen.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def search_at_once(self) -> None:
        """Ask over connections of their own, more than one process has threads for."""

        def ask(number: int) -> None:
            words = {"text": WORDS[number % len(WORDS)]}
            reply = httpx2.post(
                f"{self.web.url}/api/v1/search", json=words, trust_env=False, timeout=60
            )
            assert reply.status_code == 200, reply.text

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(SEARCHES)))


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer
) -> Iterator[Deployment]:
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("metrics"),
            DATABASE_URL=mariadb.url(name),
            REDIS_URL=redis_url,
            WEB_PROCESSES="2",
            WEB_THREADS="2",
        ) as deployment,
    ):
        yield deployment


@pytest.fixture(scope="module")
def site(deployment: Deployment) -> Site:
    port = free_port()
    web = deployment.web(wait=False)
    deployment.start("worker", "workers", WORKER_METRICS_PORT=str(port))
    web.wait_until_healthy()
    site = Site(web, port)
    # Health is told by one process; the other one may still be loading its weights.
    wait_until(
        lambda: (
            site.scrape().value("mirada_database_connections_limit") == 64
            and len(site.children()) == 2
        ),
        what="two processes that tell what they are",
    )
    return site


def test_what_several_processes_did_adds_up(site: Site) -> None:
    before = site.scrape()
    for seed in range(3):
        site.web.upload(picture(seed), f"{seed}.png")
    site.web.wait_until_ready(3)
    site.search_at_once()

    def settled() -> Scrape | None:
        found = site.scrape()
        looked_up = found.value("mirada_vector_cache_lookups_total", cache="queries")
        seen = found.value("mirada_index_vectors", kind="image")
        return found if (looked_up, seen) == (SEARCHES, 3) else None

    wait_until(settled, what="processes that have told what they did", every_s=1)
    # What is published together was not counted at one moment.
    time.sleep(PUBLISH_EVERY_S + 1)
    found = site.scrape()
    assert found.value("mirada_searches_total", query="text") == SEARCHES
    assert found.value("mirada_uploads_total", outcome="new") == 3
    searches = {"method": "POST", "rule": "/api/v1/search", "status": 200}
    name = "mirada_http_request_duration_seconds"
    assert found.value(f"{name}_count", **searches) == SEARCHES
    assert found.value(f"{name}_bucket", le="+Inf", **searches) == SEARCHES
    # A process that was asked anything learned one query at least, and none twice.
    held = found.value("mirada_vector_cache_entries", cache="queries")
    known = found.value("mirada_vector_cache_lookups_total", cache="queries", result="hit")
    assert held is not None
    assert known is not None
    assert len(WORDS) <= held <= 2 * len(WORDS)
    assert 0 < known <= SEARCHES - held
    encoded = found.value("mirada_encoded_items_total", kind="texts") or 0.0
    past = before.value("mirada_encoded_items_total", kind="texts") or 0.0
    assert encoded - past >= held
    assert found["mirada_index_change_seq"] == found["mirada_change_seq"]
    assert found.value("mirada_jobs", state="queued") == 0


def test_a_worker_tells_of_the_jobs_it_did(site: Site) -> None:
    found = site.scrape_worker()
    done = {"kind": "create_embeddings_task", "outcome": "done"}
    assert found.value("mirada_job_attempt_duration_seconds_count", **done) == 3
    assert found.value("mirada_encoded_items_total", kind="images") == 3
    assert found.value("mirada_encoder_batch_items_sum", kind="images") == 3
    assert found["process_resident_memory_bytes"] > 1e8


def test_a_process_that_is_killed_takes_no_count_with_it_and_none_is_left_at_the_end(
    site: Site,
) -> None:
    victim, survivor = site.children()
    folder = next(SHARED.glob(f"mirada-metrics-*/*_{victim}.db")).parent
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: victim not in site.children() and len(site.children()) == 2,
        what="another process in its place",
    )
    wait_until(
        lambda: not list(folder.glob(f"gauge_live*_{victim}.db")),
        what="a process that is not counted among the living",
    )
    found = site.scrape()
    assert found.value("mirada_searches_total", query="text") == SEARCHES
    assert survivor in site.children()
    assert site.web.process.stop() == 0
    assert not folder.exists()
