"""A MariaDB server for the tests, on a free loopback port, in a temporary folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pymysql
import pytest

from testing.servers.process import find_binary, free_port, missing, running, server_folder

USER = "mirada"
PASSWORD = "for-tests-only"
INSTALL_ATTEMPTS = 3


@dataclass
class MariaDbServer:
    """A running server; `stop` and `start` let a test take the database away and give it back."""

    port: int
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of one of its databases."""
        return f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def execute(self, *statements: str) -> None:
        """Run statements as the administrator."""
        connection = _connect(self.folder, connect_timeout_s=5)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()
        finally:
            connection.close()

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """Yield the name of an empty database that is dropped afterwards."""
        name = f"t{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield name
        finally:
            self.execute(
                # A test that failed may have left a connection holding a metadata lock.
                "SET SESSION lock_wait_timeout = 5",
                f"DROP DATABASE IF EXISTS {name}",
            )


def _connect(folder: Path, connect_timeout_s: int) -> pymysql.Connection:
    return pymysql.connect(
        unix_socket=str(folder / "s"), user="root", connect_timeout=connect_timeout_s
    )


@contextmanager
def mariadb_process(folder: Path, port: int) -> Iterator[None]:
    """Run the server process over a prepared folder; a test of outages runs its own."""
    server = find_binary(["mariadbd", "mysqld"])
    assert server is not None

    def is_ready() -> bool:
        # PyMySQL leaks a socket for each connection that is refused, so it is not the one to ask.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(folder / "s")) == 0

    with running(
        [
            server,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 's'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            *_as_user(),
            "--skip-log-bin",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--max-connections=300",
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=64M",
            # Durability against power loss is not what these tests are about; speed is.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
        ],
        log=folder / "log",
        is_ready=is_ready,
    ):
        yield


@contextmanager
def mariadb_server() -> Iterator[MariaDbServer]:
    """Yield a server with one privileged user for loopback."""
    install = find_binary(["mariadb-install-db", "mysql_install_db"])
    if find_binary(["mariadbd", "mysqld"]) is None or install is None:
        missing("MariaDB", "`apt-get install mariadb-server` (make test does it when it may)")
    with server_folder("mirada-mariadb-") as folder:
        _install(install, folder / "data")
        port = free_port()
        with mariadb_process(folder, port):
            server = MariaDbServer(port, folder)
            server.execute(
                f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
                f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1'",
            )
            yield server


def _install(install: str, data: Path) -> None:
    """Make the system tables, one test process after the other.

    Two installations at the same moment now and then break one of them (1 in 12 with 10.11).
    """
    command = [
        install,
        "--no-defaults",
        f"--datadir={data}",
        *_as_user(),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]
    lock = Path(tempfile.gettempdir()) / f"mirada-mariadb-install-{os.geteuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for _ in range(INSTALL_ATTEMPTS):
            shutil.rmtree(data, ignore_errors=True)
            made = subprocess.run(command, capture_output=True, timeout=120, text=True)
            if made.returncode == 0:
                return
    pytest.fail(f"MariaDB could not be installed:\n{made.stdout}{made.stderr}", pytrace=False)


def _as_user() -> list[str]:
    # mariadbd refuses to run as root unless told that this is meant.
    return ["--user=root"] if os.geteuid() == 0 else []
