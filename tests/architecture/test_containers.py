"""The container files say what the Makefile says; there is no engine here to try them with."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirada.adapters.encoders import pytorch
from mirada.config import PROJECT_ROOT, Settings

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
SERVE = ["python", "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]


SERVICES = COMPOSE["services"]
MIRADA = ("web", "worker", "web-gpu", "worker-gpu")
PROFILES = {
    "web": ["cpu"],
    "worker": ["cpu"],
    "web-gpu": ["gpu"],
    "worker-gpu": ["gpu"],
    "embed": ["embed"],
    "mysql": ["mysql"],
    "queue": ["cpu", "gpu"],
}


def _as_compose_reads(value: str, env_file: dict[str, str]) -> str:
    """Replace ${NAME:-default} and ${NAME:+instead} as Compose does."""

    def replaced(found: re.Match[str]) -> str:
        name, sign, text = found.groups()
        given = env_file.get(name, "")
        return (given or text) if sign == "-" else (text if given else "")

    return re.sub(r"\$\{(\w+):([-+])([^}]*)\}", replaced, value)


def _settings_of(
    service: str, monkeypatch: pytest.MonkeyPatch, **env_file: str
) -> tuple[Settings, list[str]]:
    """Return the settings and volumes of a service, for what a person wrote into `.env`."""
    for name, value in env_file.items():
        monkeypatch.setenv(name, value)
    for name, value in SERVICES[service]["environment"].items():
        monkeypatch.setenv(name, _as_compose_reads(value, env_file))
    monkeypatch.setenv("AUTH_MODE", SERVICES[service]["environment"].get("AUTH_MODE", "keys"))
    volumes = [_as_compose_reads(volume, env_file) for volume in SERVICES[service]["volumes"]]
    return Settings.from_env(), volumes


def test_profiles_choose_what_runs() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items()} == PROFILES
    assert SERVICES["mysql"]["image"] == "mysql:8.4"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_asked_whether_it_does(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]


@pytest.mark.parametrize("service", MIRADA)
def test_mirada_waits_for_its_servers_where_they_are_containers(service: str) -> None:
    waits = SERVICES[service]["depends_on"]
    assert {name: wait["condition"] for name, wait in waits.items()} == {
        "mysql": "service_healthy",
        "queue": "service_healthy",
    }
    assert waits["mysql"]["required"] is False


def test_the_queue_server_is_under_a_free_licence() -> None:
    assert SERVICES["queue"]["image"].startswith("valkey/valkey:")


@pytest.mark.parametrize("service", MIRADA)
def test_only_the_gpu_profile_asks_for_a_gpu(service: str) -> None:
    asked = "deploy" in SERVICES[service]
    assert asked is service.endswith("-gpu")
    if asked:
        devices = SERVICES[service]["deploy"]["resources"]["reservations"]["devices"]
        assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


@pytest.mark.parametrize("service", [*MIRADA, "embed"])
def test_only_an_image_for_a_gpu_holds_pytorch(service: str) -> None:
    is_gpu = service.endswith("-gpu")
    chosen = SERVICES[service]["build"]["args"]["REQUIREMENTS"]
    name = "requirements.txt" if is_gpu else "requirements-light.txt"
    assert _as_compose_reads(chosen, {}) == name
    # One name for two sets would let whichever was built last serve both.
    assert SERVICES[service]["image"] == ("mirada-gpu" if is_gpu else "mirada")
    assert re.findall(r"^ARG (.+)$", DOCKERFILE, re.MULTILINE) == [
        "REQUIREMENTS=requirements-light.txt"
    ]
    assert '--require-hashes -r "$REQUIREMENTS"' in DOCKERFILE


def test_what_a_model_without_pytorch_says_builds_the_image_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pytorch, "_INSTALLER", tmp_path / "install.sh")
    told = re.match(r"`(\w+)=(\S+) docker compose build` ", pytorch.how_to_install())
    assert told is not None
    chosen = SERVICES["web"]["build"]["args"]["REQUIREMENTS"]
    assert _as_compose_reads(chosen, dict([told.groups()])) == "requirements.txt"


def test_the_queue_is_kept_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["queue"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_mysql_without_a_password_ends_with_a_sentence() -> None:
    shell, option, script, name = SERVICES["mysql"]["entrypoint"]
    refused = subprocess.run(
        [shell, option, script.replace("$$", "$"), name, "mysqld"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stderr) == (1, "Set DB_PASSWORD in .env.\n")


def test_keys_of_a_product_are_mounted() -> None:
    env_file = {"JWKS_FILE": "/etc/product/jwks.json"}
    for service in MIRADA:
        environment = SERVICES[service]["environment"]
        assert _as_compose_reads(environment["JWKS_FILE"], env_file) == "/jwks.json"
        assert _as_compose_reads(environment["JWKS_FILE"], {}) == ""
        mounts = [_as_compose_reads(each, env_file) for each in SERVICES[service]["volumes"]]
        assert "/etc/product/jwks.json:/jwks.json:ro" in mounts


def test_every_volume_that_is_mounted_is_declared_and_used() -> None:
    mounted = {
        _as_compose_reads(volume, {}).split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    assert mounted - {"/dev/null"} == set(COMPOSE["volumes"])


def test_containers_run_what_make_run_runs() -> None:
    run = (PROJECT_ROOT / "console" / "servers.py").read_text()
    assert str(SERVE[2:])[1:-1].replace("'", '"') in run
    assert SERVICES["web"]["command"] == SERVE
    assert SERVICES["embed"]["command"] == SERVE
    assert json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1]) == SERVE
    assert SERVICES["worker"]["command"] == ["python", "-m", "workers"]


@pytest.mark.parametrize("service", [*MIRADA, "embed"])
def test_compose_sets_only_settings_that_exist(service: str) -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(SERVICES[service]["environment"]) <= settings


@pytest.mark.parametrize("service", MIRADA)
def test_paths_of_the_host_do_not_reach_a_container(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, volumes = _settings_of(
        service,
        monkeypatch,
        STORAGE_URL="file:///home/ana/originals",
        DATA_DIR="/home/ana/data",
    )
    assert str(settings.image_dir) == "/data/images"
    assert settings.import_dir is None
    assert "nothing-to-import:/import:ro" in volumes


@pytest.mark.parametrize("service", MIRADA)
def test_a_folder_to_import_is_mounted_to_be_read(service: str) -> None:
    env_file = {"IMPORT_DIR": "/home/ana/Pictures"}
    inside = _as_compose_reads(SERVICES[service]["environment"]["IMPORT_DIR"], env_file)
    assert inside == "/import"
    volumes = [_as_compose_reads(volume, env_file) for volume in SERVICES[service]["volumes"]]
    assert "/home/ana/Pictures:/import:ro" in volumes


@pytest.mark.parametrize("service", MIRADA)
def test_without_settings_compose_uses_its_own_mysql(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, volumes = _settings_of(service, monkeypatch, DB_PASSWORD="secret")
    assert settings.url.get_backend_name() == "mysql"
    assert settings.url.host == "mysql"
    assert settings.import_dir is None
    assert "nothing-to-import:/import:ro" in volumes
    assert settings.effective_auth_mode == "keys"


@pytest.mark.parametrize("service", MIRADA)
def test_settings_alone_name_another_database(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = _settings_of(service, monkeypatch, DB_HOST="db.example", DB_PASSWORD="x")
    assert settings.url.host == "db.example"
    settings, _ = _settings_of(
        service, monkeypatch, DATABASE_URL="postgresql+psycopg://ana@db.example/app"
    )
    assert settings.url.get_backend_name() == "postgresql"


def test_the_embedding_service_needs_no_database_server(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = _settings_of(
        "embed",
        monkeypatch,
        DB_HOST="db.example",
        DB_PASSWORD="x",
        REDIS_URL="redis://q/0",
    )
    assert settings.url.get_backend_name() == "sqlite"
    assert settings.redis_url is None
    assert settings.effective_auth_mode == "open"
    assert "depends_on" not in SERVICES["embed"]


def test_downloaded_weights_are_kept_in_a_volume_that_web_and_worker_share() -> None:
    assert "EMBEDDINGS_CACHE_DIR=/data/models" in DOCKERFILE
    for service in MIRADA:
        assert SERVICES[service]["environment"]["EMBEDDINGS_CACHE_DIR"].startswith("/data/")
        assert "data:/data" in SERVICES[service]["volumes"]


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
