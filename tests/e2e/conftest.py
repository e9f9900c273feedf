"""The deployment that most end-to-end tests share, with the photographs and the demo set in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testing.deployment import ROOT, Deployment, Web, deployed
from testing.servers.mariadb import MariaDbServer
from testing.servers.redis import redis_server

PHOTOS = ROOT.parent / "shared" / "photos"
DEMO = ROOT / "demo"


@dataclass
class Production:
    """Two web processes and a worker over MariaDB and Redis."""

    deployment: Deployment
    first: Web
    second: Web
    photos: list[Path]
    stickers: list[dict[str, Any]]

    def sticker_path(self, sticker: dict[str, Any]) -> Path:
        return DEMO / sticker["file"]


@pytest.fixture(scope="session")
def production(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer
) -> Iterator[Production]:
    """Started once; tests leave it as they found it."""
    stickers = json.loads((DEMO / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("production"),
            DATABASE_URL=mariadb.url(name),
            REDIS_URL=redis_url,
        ) as deployment,
    ):
        first = deployment.web("web1", wait=False)
        second = deployment.web("web2", wait=False)
        deployment.worker()
        first.wait_until_healthy()
        second.wait_until_healthy()
        yield Production(deployment, first, second, sorted(PHOTOS.glob("*.JPEG")), stickers)


@pytest.fixture(scope="session")
def library(production: Production) -> Production:
    """The production deployment with everything imported and READY."""
    folders = [DEMO / "stickers", *([PHOTOS] if production.photos else [])]
    for folder in folders:
        done = production.deployment.run(
            "flask", "--app", "wsgi:app", "images", "import", str(folder)
        )
        assert done.returncode == 0, done.stdout + done.stderr
    production.first.wait_until_ready(len(production.photos) + len(production.stickers))
    return production
