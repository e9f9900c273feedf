"""The container files say what the Makefile says; there is no engine here to try them with."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from mirada.config import PROJECT_ROOT, Settings

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
SERVE = ["python", "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]


def test_compose_runs_web_worker_mysql_and_redis() -> None:
    assert set(COMPOSE["services"]) == {"web", "worker", "mysql", "redis"}
    assert COMPOSE["services"]["mysql"]["image"] == "mysql:8.4"


@pytest.mark.parametrize("service", ["web", "worker", "mysql", "redis"])
def test_every_service_is_asked_whether_it_does(service: str) -> None:
    assert COMPOSE["services"][service]["healthcheck"]["test"]


@pytest.mark.parametrize("service", ["web", "worker"])
def test_mirada_waits_for_its_servers(service: str) -> None:
    waits = COMPOSE["services"][service]["depends_on"]
    assert {name: wait["condition"] for name, wait in waits.items()} == {
        "mysql": "service_healthy",
        "redis": "service_healthy",
    }


def test_redis_keeps_its_queue_and_evicts_nothing() -> None:
    command = " ".join(COMPOSE["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_every_volume_that_is_mounted_is_declared_and_used() -> None:
    mounted = {
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
    }
    assert mounted == set(COMPOSE["volumes"])


def test_containers_run_what_make_run_runs() -> None:
    run = (PROJECT_ROOT / "dev" / "run.sh").read_text()
    assert " ".join(SERVE[1:]) in run
    assert COMPOSE["services"]["web"]["command"] == SERVE
    assert json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1]) == SERVE
    assert COMPOSE["services"]["worker"]["command"] == ["python", "-m", "workers"]


@pytest.mark.parametrize("service", ["web", "worker"])
def test_compose_sets_only_settings_that_exist(service: str) -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(COMPOSE["services"][service]["environment"]) <= settings


@pytest.mark.parametrize("service", ["web", "worker"])
def test_paths_of_the_host_do_not_reach_a_container(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a person's `.env` holds, then what compose puts over it.
    monkeypatch.setenv("DATABASE_URL", "sqlite:////home/ana/mirada.db")
    monkeypatch.setenv("STORAGE_URL", "file:///home/ana/originals")
    monkeypatch.setenv("IMPORT_DIR", "/home/ana/Pictures")
    for name, value in COMPOSE["services"][service]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+(:-|:\?)(.*)\}", r"\2", value))

    settings = Settings.from_env()

    assert settings.url.get_backend_name() == "mysql"
    assert settings.import_dir is None
    assert str(settings.image_dir) == "/data/images"
    assert settings.effective_auth_mode == "keys"


def test_downloaded_weights_are_kept_in_a_volume_that_web_and_worker_share() -> None:
    assert "EMBEDDINGS_CACHE_DIR=/data/models" in DOCKERFILE
    for service in ("web", "worker"):
        assert COMPOSE["services"][service]["environment"]["EMBEDDINGS_CACHE_DIR"].startswith(
            "/data/"
        )
        assert "data:/data" in COMPOSE["services"][service]["volumes"]


def test_a_container_alone_does_not_serve_an_open_administrator() -> None:
    assert re.search(r"^ +AUTH_MODE=keys ", DOCKERFILE, re.MULTILINE)


def test_the_image_is_not_run_by_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.rindex("\nCMD ")


def test_the_image_asks_itself_whether_it_lives() -> None:
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/health/live" in DOCKERFILE


def test_the_image_copies_only_what_exists_and_is_not_ignored() -> None:
    kept = set(re.findall(r"^!(\S+)$", (PROJECT_ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == kept
    assert [name for name in copied if not (PROJECT_ROOT / name).exists()] == []
