"""Health: the keys of systems B and D at once, from real probes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Job
from mirada.db.session import now_ms
from mirada.embedding.job import queue_embedding
from testing.gallery import as_upload
from testing.patience import Stopwatch
from testing.pictures import picture
from testing.servers.process import free_port

KEYS = {"status", "service", "database", "model_loaded", "device", "checks"}


def health(server: Any, path: str = "/health") -> tuple[int, dict[str, Any]]:
    watch = Stopwatch()
    response = server.client.get(path)
    assert watch.seconds < 3
    return response.status_code, response.get_json()


def settled(server: Any, status: str) -> dict[str, Any]:
    """Ask as a load balancer does, until weights are loaded."""
    for _ in range(60):
        code, body = health(server)
        if body["status"] == status:
            assert code == (503 if status == "unhealthy" else 200)
            return body
        time.sleep(0.2)  # as a load balancer would ask: now and then
    pytest.fail(f"It never became {status}: {body}")


@pytest.mark.parametrize("path", ["/health", "/health/", "/readyz"])
def test_a_whole_server_is_healthy_in_the_words_of_both_systems(server: Any, path: str) -> None:
    assert server.runtime.encoder.device == "cpu"
    settled(server, "healthy")
    code, body = health(server, path)
    assert code == 200
    assert set(body) == KEYS
    assert body["service"] == "image-search-backend"
    assert body["database"] == "connected"
    assert body["model_loaded"] is True
    assert body["device"] == "cpu"
    assert set(body["checks"]) == {
        "database",
        "encoder",
        "queue",
        "worker",
        "index",
        "store",
        "language_model",
    }
    assert all(check["ok"] for check in body["checks"].values())
    # How many pictures there are is not everybody's to know.
    assert (body["checks"]["index"], body["checks"]["queue"]) == (
        {"ok": True, "detail": "loaded"},
        {"ok": True, "detail": "in-process"},
    )


def test_the_first_question_is_answered_while_weights_load(server: Any) -> None:
    code, body = health(server)
    assert (code, body["status"]) in {(503, "unhealthy"), (200, "healthy")}
    assert code == 200 or body["checks"]["encoder"]["detail"] == "still loading"
    settled(server, "healthy")


def test_a_server_that_cannot_embed_is_unhealthy(serve: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text("{}")
    server = serve(clip_model=str(folder))
    body = settled(server, "unhealthy")
    assert body["database"] == "connected"
    assert body["model_loaded"] is False
    assert set(body) == KEYS
    response = server.client.post("/api/v1/search", json={"text": "cat"})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1


def test_with_embeddings_switched_off_it_is_degraded_and_says_so(serve: Callable[..., Any]) -> None:
    server = serve(embeddings_enabled=False)
    body = settled(server, "degraded")
    assert body["model_loaded"] is False
    assert body["checks"]["encoder"] == {"ok": False, "detail": "switched off"}
    uploaded = server.client.post("/api/v1/images", data={"file": as_upload(picture(1))})
    assert uploaded.status_code == 201
    for query in ({"text": "cat"}, {"vector": [1.0]}, {"image_id": 1}):
        assert server.client.post("/api/v1/search", json=query).status_code == 409
    assert not server.runtime.encoder_is_loaded()


def test_a_queue_that_is_down_degrades_but_does_not_stop(serve: Callable[..., Any]) -> None:
    server = serve(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert server.runtime.encoder.device == "cpu"
    body = settled(server, "degraded")
    assert not body["checks"]["queue"]["ok"]
    assert body["checks"]["database"]["ok"]


@pytest.mark.redis
def test_work_that_nobody_does_is_said_in_words(serve: Callable[..., Any], redis_url: str) -> None:
    server = serve(redis_url=redis_url)
    assert server.runtime.encoder.device == "cpu"
    with server.runtime.transaction() as session:
        queue_embedding(session, 1, None)
        session.execute(update(Job).values(next_run_at_ms=now_ms() - 60_000))
    body = settled(server, "degraded")
    worker = body["checks"]["worker"]
    assert not worker["ok"]
    assert "due for 6" in worker["detail"]
    assert "worker" in worker["detail"]
