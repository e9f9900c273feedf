"""Workers are killed, queues are wiped, pictures are poison: everything still becomes READY, once."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
import redis
from PIL import Image
from sqlalchemy import create_engine, text

from testing.deployment import Deployment, Web, deployed, wait_until
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer
) -> Iterator[tuple[Deployment, Web]]:
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("drills"), DATABASE_URL=mariadb.url(name), REDIS_URL=redis_url
        ) as deployment,
    ):
        yield deployment, deployment.web()


def ready(web: Web) -> int:
    return web.statuses().get("READY", 0)


def vectors_per_content(deployment: Deployment) -> list[int]:
    engine = create_engine(deployment.settings["DATABASE_URL"])
    with engine.connect() as connection:
        counts = connection.execute(
            text(
                "SELECT COUNT(e.id) FROM mirada_contents c "
                "LEFT JOIN mirada_embeddings e ON e.content_id = c.id "
                "AND e.is_deleted = 0 GROUP BY c.id"
            )
        ).scalars()
        found = [int(n) for n in counts]
    engine.dispose()
    return found


def test_a_killed_worker_and_a_wiped_queue_lose_nothing(site: tuple[Deployment, Web]) -> None:
    deployment, web = site
    before = sum(web.statuses().values())
    worker = deployment.worker("worker1")
    for n in range(200):
        web.upload(picture(seed=n, size=(120, 90)), f"{n}.png")
        if n == 60:
            wait_until(lambda: ready(web) > before, what="the worker at work")
            worker.kill()
        if n == 100:
            with redis.Redis.from_url(deployment.settings["REDIS_URL"]) as queue:
                queue.flushall()
        if n == 110:
            worker = deployment.worker("worker2")
        if n == 150:
            with redis.Redis.from_url(deployment.settings["REDIS_URL"]) as queue:
                queue.flushall()
    last_upload = time.monotonic()

    web.wait_until_ready(before + 200)

    print(f"all READY {time.monotonic() - last_upload:.1f} s after the last upload")
    assert vectors_per_content(deployment) == [1] * (before + 200)
    assert worker.stop() == 0


def jpeg_of_death() -> bytes:
    """A valid progressive JPEG of 36 Mpx in 0.4 MB whose last scan is repeated: hours of decoding.

    Source: the "JPEG-of-death" of libjpeg-turbo's report on two issues with the JPEG standard
    (progressive scans cost time out of all proportion to their bytes).
    """
    out = io.BytesIO()
    Image.new("L", (6000, 6000), 128).save(out, "JPEG", progressive=True, quality=75)
    whole = out.getvalue()
    start = whole.rfind(b"\xff\xda")
    scan = whole[start:-2]
    return whole[:-2] + scan * 4000 + b"\xff\xd9"


@pytest.mark.drill
def test_a_picture_that_kills_its_decoder_is_refused_and_the_next_is_ready(
    site: tuple[Deployment, Web],
) -> None:
    """A drill: the limit in use is 20 s of a processor. test_image_decoder.py meets a smaller one."""
    deployment, web = site
    before = sum(web.statuses().values())
    deployment.worker("worker3")
    started = time.monotonic()

    refused = web.http.post(
        "/api/v1/images", files={"file": ("death.jpg", jpeg_of_death(), "image/jpeg")}
    )
    assert refused.status_code == 422, refused.text
    assert "decod" in refused.json()["detail"]
    web.upload(picture(seed=5001), "behind.png")

    web.wait_until_ready(before + 1)
    print(f"refused, and the one behind it READY, in {time.monotonic() - started:.1f} s")
