"""A dependency is away: 503 with Retry-After, never a 500 or a hang, and recovery without help."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from testing.deployment import Deployment, Web, deployed, wait_until
from testing.outages import held, watching
from testing.patience import Stopwatch
from testing.pictures import picture
from testing.proxy import Proxy, proxied
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]

ANSWER_WITHIN_S = 5
"""What the product promises when a dependency is away, hangs or is locked."""
AT_ONCE_S = 1.0


def away(reply: httpx2.Response) -> bool:
    return reply.status_code == 503 and int(reply.headers["Retry-After"]) >= 1


def ask_everything(web: Web) -> list[httpx2.Response]:
    replies = []
    for ask in (
        lambda: web.http.get("/api/v1/images"),
        lambda: web.http.get("/api/v1/images/1"),
        lambda: web.http.post("/api/v1/images", files={"file": ("p.png", picture(1))}),
        lambda: web.http.post("/api/v1/search", json={"text": "cat"}),
        lambda: web.http.post("/search-similar-images/", files={"file": ("p.png", picture(1))}),
        lambda: web.http.get("/api/v1/jobs"),
        lambda: web.http.get("/api/v1/indexes"),
        lambda: web.http.get("/health"),
    ):
        watch = Stopwatch()
        replies.append(ask())
        assert watch.seconds < ANSWER_WITHIN_S, replies[-1].request.url
    return replies


@pytest.fixture(scope="module")
def outage(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer
) -> Iterator[tuple[Deployment, Web, Proxy, Proxy]]:
    """One web process that was started while its database was away."""
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        proxied(mariadb.port, up=False) as database,
        proxied(int(redis_url.split(":")[2].split("/")[0])) as queue,
        deployed(
            tmp_path_factory.mktemp("outage"),
            DATABASE_URL=mariadb.url(name).replace(f":{mariadb.port}", f":{database.port}"),
            REDIS_URL=f"redis://127.0.0.1:{queue.port}/0",
        ) as deployment,
    ):
        yield deployment, deployment.web(wait=False), database, queue


def mended(outage: tuple[Deployment, Web, Proxy, Proxy]) -> tuple[Web, Proxy, Proxy]:
    """Return server, database and queue, all up and with a worker, whichever test came before."""
    deployment, web, database, queue = outage
    if not database.is_up:
        database.up()
    wait_until(lambda: _answers(web), what="a web process")
    web.wait_until_healthy()
    if len(deployment.processes) == 1:
        deployment.worker()
    if not any(web.images()):
        web.upload(picture(seed=1), "one.png")
        web.wait_until_ready(1)
    return web, database, queue


def _answers(web: Web) -> bool:
    try:
        return web.http.get("/health/live").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_database_that_is_down_at_start_and_dies_later(
    outage: tuple[Deployment, Web, Proxy, Proxy],
) -> None:
    deployment, web, database, _ = outage

    wait_until(lambda: _answers(web), what="a live web process without a database")
    for reply in ask_everything(web):
        assert away(reply), (reply.request.url, reply.status_code, reply.text)

    database.up()
    web.wait_until_healthy()
    deployment.worker()
    web.upload(picture(seed=1), "one.png")
    web.wait_until_ready(1)

    database.down()
    # A probe's result counts for three seconds.
    wait_until(lambda: away(web.http.get("/health")), timeout_s=30, what="an unhealthy web process")
    for reply in ask_everything(web):
        assert away(reply), (reply.request.url, reply.status_code, reply.text)
    assert web.http.get("/health/live").status_code == 200

    database.up()
    web.wait_until_healthy()
    assert web.search_by_picture(picture(seed=1), k="1")["results"][0]["similarity"] >= 0.999
    web.upload(picture(seed=2), "two.png")
    web.wait_until_ready(2)


def test_a_database_that_hangs_is_503_within_seconds_and_liveness_does_not_notice(
    outage: tuple[Deployment, Web, Proxy, Proxy],
) -> None:
    web, database, _ = mended(outage)

    with database.frozen(), watching(web.url) as seen:
        for reply in ask_everything(web):
            assert away(reply), (reply.request.url, reply.status_code, reply.text)
    assert set(seen["livez"].statuses) == {200}
    assert set(seen["reads"].statuses) | set(seen["writes"].statuses) == {503}

    web.wait_until_healthy()
    web.search_by_picture(picture(seed=1), k="1")


def test_a_backup_s_lock_stops_writing_alone(
    outage: tuple[Deployment, Web, Proxy, Proxy], mariadb: MariaDbServer
) -> None:
    web, _, _ = mended(outage)
    image = next(iter(web.images()))
    address = f"/api/v1/images/{image['id']}"

    with held(mariadb, "FLUSH TABLES WITH READ LOCK"):
        for _ in range(4):
            watch = Stopwatch()
            assert away(web.http.put(f"{address}/like"))
            assert watch.seconds < ANSWER_WITHIN_S
            watch = Stopwatch()
            assert web.http.get(address).status_code == 200
            assert watch.seconds < AT_ONCE_S
    wait_until(
        lambda: web.http.put(f"{address}/like").status_code == 200,
        what="writing again",
    )


def test_a_queue_that_hangs_delays_no_upload_for_long(
    outage: tuple[Deployment, Web, Proxy, Proxy],
) -> None:
    web, _, queue = mended(outage)
    before = sum(web.statuses().values())

    with queue.frozen():
        for n in range(4):
            watch = Stopwatch()
            web.upload(picture(seed=200 + n), f"{n}.png")
            assert watch.seconds < ANSWER_WITHIN_S

    web.wait_until_ready(before + 4)


def test_uploads_are_taken_while_the_queue_is_down_and_become_ready_when_it_is_back(
    outage: tuple[Deployment, Web, Proxy, Proxy],
) -> None:
    _, web, _, queue = outage
    before = sum(web.statuses().values())

    queue.down()
    watch = Stopwatch()
    for n in range(5):
        web.upload(picture(seed=100 + n), f"{n}.png")
    assert watch.seconds < 5 * ANSWER_WITHIN_S
    queue.up()

    web.wait_until_ready(before + 5)


def test_a_full_disk_refuses_uploads_and_stores_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with deployed(tmp_path, STORAGE_URL=f"file://{small}") as deployment:
            web = deployment.web()
            kept = web.upload(picture(seed=1, size=(64, 64)), "kept.png")
            (small / "ballast").write_bytes(b"\0" * (os.statvfs(small).f_bavail * 4096 - 8192))

            reply = web.http.post(
                "/api/v1/images",
                files={"file": ("big.png", picture(seed=2, size=(700, 700)), "image/png")},
            )

            assert away(reply), reply.text
            assert reply.json()["code"] == "storage_full"
            assert [i["id"] for i in web.images()] == [kept["id"]]
            assert not [p for p in small.rglob("*") if p.is_file() and p.stat().st_size == 0]

            (small / "ballast").unlink()
            web.upload(picture(seed=2, size=(700, 700)), "big.png")
            web.wait_until_ready(2)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)
