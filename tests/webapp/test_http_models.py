"""GET /api/v1/models: what a client is told about the encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testing.application import create_app


def test_a_working_model_names_both_towers(client: Any, runtime: Any) -> None:
    reply = client.get("/api/v1/models")
    assert reply.status_code == 200
    name = runtime.encoder.space.name
    assert reply.json == {
        "enabled": True,
        "device": "cpu",
        "text_model": name,
        "image_model": name,
        "errors": [],
    }


def test_a_model_that_cannot_be_had_is_reported_and_not_a_server_error(
    make_runtime: Any, tmp_path: Path
) -> None:
    runtime = make_runtime(clip_model=str(tmp_path / "nowhere"))
    reply = create_app(runtime).test_client().get("/api/v1/models")
    assert reply.status_code == 200
    assert reply.json["text_model"] is None
    assert reply.json["image_model"] is None
    assert "no model folder" in reply.json["errors"][0]


def test_switched_off_embeddings_load_nothing(make_runtime: Any) -> None:
    runtime = make_runtime(embeddings_enabled=False)
    reply = create_app(runtime).test_client().get("/api/v1/models")
    assert reply.json["enabled"] is False
    assert reply.json["errors"] == []
    assert not runtime.encoder_is_loaded()
