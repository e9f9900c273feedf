"""A MariaDB server for the tests, on a free loopback port, in a temporary folder.

`pytest --mariadb=KIND` chooses it: the machine's own, a newer one, or one with hostile settings.
"""

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
UNPACKED = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirada/mariadb-trixie"
)
"""Where dev/newer_mariadb.sh puts Debian 13's server."""
FRIENDLY = (
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    "--max-allowed-packet=64M",
)
HOSTILE = (
    "--character-set-server=latin1",
    "--collation-server=latin1_swedish_ci",
    "--max-allowed-packet=1M",
    "--default-time-zone=+05:45",
    "--wait-timeout=20",
    "--transaction-isolation=SERIALIZABLE",
    # Each of these changes what a statement means, or refuses what is usually permitted.
    "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE,ONLY_FULL_GROUP_BY,"
    "HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,PAD_CHAR_TO_FULL_LENGTH,EMPTY_STRING_IS_NULL,"
    "NO_AUTO_VALUE_ON_ZERO,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL,STRICT_ALL_TABLES,"
    "NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
)


@dataclass(frozen=True)
class ServerKind:
    """Which programs a server is made from, and how it is configured."""

    binary: str
    install: tuple[str, ...]
    options: tuple[str, ...]


def server_kind(name: str) -> ServerKind:
    """Return the kind of that name: "own", "newer" or "hostile"; skips the test where it is missing."""
    if name == "newer":
        root = UNPACKED / "root/usr"
        if not (UNPACKED / "ready").exists():
            missing("The newer MariaDB", "`dev/newer_mariadb.sh` (make test-all does it)")
        return ServerKind(
            str(root / "sbin/mariadbd"),
            (str(root / "bin/mariadb-install-db"), f"--basedir={root}"),
            FRIENDLY,
        )
    binary = find_binary(["mariadbd", "mysqld"])
    install = find_binary(["mariadb-install-db", "mysql_install_db"])
    if binary is None or install is None:
        missing("MariaDB", "`apt-get install mariadb-server` (make test does it when it may)")
    return ServerKind(binary, (install,), HOSTILE if name == "hostile" else FRIENDLY)


@dataclass
class MariaDbServer:
    """A running server; `stop` and `start` let a test take the database away and give it back."""

    port: int
    folder: Path
    kind: ServerKind
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
        self.execute(f"CREATE DATABASE {name}")
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
def mariadb_process(kind: ServerKind, folder: Path, port: int) -> Iterator[None]:
    """Run the server process over a prepared folder."""

    def is_ready() -> bool:
        # PyMySQL leaks a socket for each connection that is refused, so it is not the one to ask.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(folder / "s")) == 0

    # A server that starts removes every temporary table of its folder: those of others, were it shared.
    (folder / "tmp").mkdir(exist_ok=True)
    with running(
        [
            kind.binary,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 's'}",
            f"--pid-file={folder / 'pid'}",
            f"--tmpdir={folder / 'tmp'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            *_as_user(),
            "--skip-log-bin",
            "--skip-name-resolve",
            "--max-connections=300",
            *kind.options,
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
def mariadb_server(kind: str = "own") -> Iterator[MariaDbServer]:
    """Yield a server of that kind with one privileged user for loopback."""
    chosen = server_kind(kind)
    with server_folder("mirada-mariadb-") as folder:
        _install(chosen.install, folder / "data")
        port = free_port()
        with mariadb_process(chosen, folder, port):
            server = MariaDbServer(port, folder, chosen)
            server.execute(
                f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
                f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1'",
            )
            yield server


def _install(install: tuple[str, ...], data: Path) -> None:
    """Make the system tables, one test process after the other.

    Two installations at the same moment now and then break one of them (1 in 12 with 10.11).
    """
    command = [
        install[0],
        "--no-defaults",
        *install[1:],
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
