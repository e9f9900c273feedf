"""`mirada run` looks at its address before it does anything."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest

from console.servers import require_free_port
from mirada.config import PROJECT_ROOT, Settings


class Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "alive"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def running() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Alive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def refusal(**settings: object) -> str:
    with pytest.raises(click.ClickException) as caught:
        require_free_port(Settings.from_env(auth_mode="keys", **settings), "make run")
    return caught.value.message


def test_a_second_server_is_told_of_the_first(running: int) -> None:
    assert refusal(port=running) == (
        f"Port {running} is in use by Mirada, which answers at http://127.0.0.1:{running} already. "
        f"Choose another one: PORT={running + 1} make run"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_said(host: str) -> None:
    said = refusal(host=host)
    assert said.startswith(f"HOST={host} is no address of this machine")
    assert said.endswith("For this machine alone: HOST=127.0.0.1 make run")


def test_a_free_port_is_left_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    require_free_port(Settings.from_env(port=port), "make run")
    require_free_port(Settings.from_env(port=port), "make run")


def test_of_two_that_start_at_once_the_later_one_says_it_in_one_sentence(
    running: int, tmp_path: Path
) -> None:
    # As `mirada run` starts it, when the port was free as it looked.
    run = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
        cwd=PROJECT_ROOT,
        env={
            "PATH": os.environ["PATH"],
            "MIRADA_ENV_FILE": os.devnull,
            "MIRADA_ANNOUNCE": "make run",
            "DATA_DIR": str(tmp_path),
            "PORT": str(running),
            "LOG_LEVEL": "WARNING",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    said = [
        line for line in run.stderr.splitlines(keepends=True) if "Starting gunicorn" not in line
    ]
    assert run.stdout + "".join(said) == (
        f"Error: Port {running} is in use by Mirada, which answers at http://127.0.0.1:{running} "
        f"already. Choose another one: PORT={running + 1} make run\n"
    )
