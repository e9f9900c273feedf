"""What a person does first: `make run`, stop it with Ctrl-C, start it again."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from mirada.config import BUNDLED_MODEL_DIR
from testing.deployment import ROOT, wait_until
from testing.make_run import Terminal
from testing.patience import PATIENCE_S
from testing.pictures import picture
from testing.servers.process import missing


@pytest.fixture(autouse=True)
def _tools() -> None:
    if shutil.which("make") is None:
        missing("make", "`apt-get install make`")
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("make run installs into .venv, and these tests run from another environment")
    if not (BUNDLED_MODEL_DIR / "open_clip_config.json").exists():
        missing("The bundled encoder", "models/stickers is empty")


def test_ctrl_c_stops_it_cleanly_and_a_second_run_finds_its_data(tmp_path: Path) -> None:
    first = Terminal(tmp_path)
    try:
        first.wait_until_ready()
        with httpx2.Client(base_url=first.url, timeout=30, trust_env=False) as http:
            uploaded = http.post("/api/v1/images", files={"file": ("a.png", picture(1))})
            assert uploaded.status_code == 201, uploaded.text
            address = uploaded.headers["Location"]
        first.press_ctrl_c()

        assert "Traceback" not in first.output, first.output[-3000:]
        assert first.group == []
    finally:
        first.kill()

    second = Terminal(tmp_path)
    try:
        second.wait_until_ready()
        with httpx2.Client(base_url=second.url, timeout=30, trust_env=False) as http:
            wait_until(
                lambda: http.get(address).json()["status"] == "READY",
                what="the picture of the first run is READY",
            )
        second.press_ctrl_c()
        assert second.group == []
    finally:
        second.kill()


def test_settings_that_cannot_be_used_are_all_named_and_nothing_starts(tmp_path: Path) -> None:
    terminal = Terminal(
        tmp_path, WEB_THREADS="none", DATABASE_URL="oracle://db/mirada", CLIP_TOP_K="0"
    )
    try:
        assert terminal.process.wait(PATIENCE_S) != 0
        for name in ("WEB_THREADS", "DATABASE_URL", "CLIP_TOP_K"):
            assert name in terminal.output
        assert "Traceback" not in terminal.output
        assert not (tmp_path / "data").exists()
    finally:
        terminal.kill()


def test_a_port_that_is_taken_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        terminal = Terminal(tmp_path, PORT=str(port))
        try:
            assert terminal.process.wait(PATIENCE_S) != 0
            said = [line for line in terminal.output.splitlines() if not line.startswith("make: ")]
            other = port + 1 if port < 65535 else port - 1
            assert said == [
                f"Error: Port {port} is in use. Choose another one: PORT={other} make run"
            ]
            assert not (tmp_path / "data").exists()
            assert terminal.group == []
        finally:
            terminal.kill()
