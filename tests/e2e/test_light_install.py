"""The main path as a newcomer without a GPU has it: `make run`, `make demo`, README, a worker; no PyTorch.

`make test-light` runs it. The copy of the tree installs its own `.venv`, from the installer's cache where
the machine has one.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from mirada.adapters.encoders.model_choice import PRODUCTION_MODEL
from mirada.config import Settings
from mirada.db.spaces import pin_space
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.runtime import Runtime
from testing.deployment import ROOT, wait_until
from testing.light_install import copy_of_the_tree, disk_mb, processes, typed
from testing.make_run import Terminal
from testing.patience import PATIENCE_S
from testing.pictures import picture
from testing.servers.process import die_with_parent

pytestmark = pytest.mark.light
INSTALL_S = 300
MOST_MB = 500


@dataclass
class Newcomer:
    """Somebody who has cloned the tree, and typed `make run` in a terminal and `make demo` in another."""

    root: Path
    data: Path
    run: Terminal
    demo: subprocess.CompletedProcess[str]
    hub: socket.socket

    def type(self, line: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return typed(self.root, self.run.environment | settings, line)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    data = tmp_path_factory.mktemp("light")
    with copy_of_the_tree() as root, socket.create_server(("127.0.0.1", 0)) as hub:
        # Whoever asks the hub is seen here.
        endpoint = f"http://127.0.0.1:{hub.getsockname()[1]}"
        run = Terminal(data, root, CLIP_MODEL="", HF_ENDPOINT=endpoint)
        try:
            run.wait_until_ready(INSTALL_S)
            yield Newcomer(root, data, run, typed(root, run.environment, "make demo"), hub)
        finally:
            run.kill()


def test_two_commands_are_enough_and_ask_no_hub(newcomer: Newcomer) -> None:
    said = newcomer.run.output
    assert "Installing requirements-light.txt into .venv" in said
    assert "Encoder: the BUNDLED model" in said
    assert "`make run FULL=1` installs it" in said
    assert "Traceback" not in said
    assert newcomer.demo.returncode == 0, newcomer.demo.stdout + newcomer.demo.stderr
    assert "searchable 300 of 300" in newcomer.demo.stdout + newcomer.demo.stderr
    newcomer.hub.setblocking(False)
    with pytest.raises(BlockingIOError):
        newcomer.hub.accept()


def test_it_is_small_and_holds_no_pytorch(newcomer: Newcomer) -> None:
    assert disk_mb(newcomer.root / ".venv") <= MOST_MB
    found = newcomer.type(
        ".venv/bin/python -c 'import importlib.util as u; "
        'print([m for m in ("torch", "open_clip", "transformers", "timm") if u.find_spec(m)])\''
    )
    assert found.stdout == "[]\n", found.stderr
    running = processes(newcomer.run.process.pid)
    assert any("gunicorn" in each.command for each in running)
    assert not any(each.has_torch for each in running)


def test_the_calls_of_the_readme_work_as_they_stand(newcomer: Newcomer) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Five calls\n+```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    calls = block[1].replace("127.0.0.1:8000", f"127.0.0.1:{newcomer.run.port}")
    assert calls.count("curl -s ") == 5

    done = newcomer.type(calls.replace("curl -s ", "curl -sfS "))

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"verdict":"relevant"' in done.stdout
    assert re.search(r'"label":"cat"', done.stdout), done.stdout[-2000:]
    shown = newcomer.type('bin/mirada search "coração vermelho" --limit 3')
    assert shown.returncode == 0, shown.stderr
    assert "heart" in shown.stdout
    assert "Verdict: relevant" in shown.stdout


@pytest.mark.parametrize(
    "settings",
    [
        {"CLIP_MODEL": "ViT-B-16", "CLIP_PRETRAINED": "openai"},
        {"CLIP_MODEL": "bundled", "TEXT_MODEL": "all-MiniLM-L6-v2"},
        {"CLIP_MODEL": "bundled", "ENCODER_ENGINE": "torch"},
    ],
)
def test_a_setting_that_needs_pytorch_is_one_sentence_with_the_command(
    newcomer: Newcomer, settings: dict[str, str], tmp_path: Path
) -> None:
    check = "bin/mirada db upgrade && bin/mirada models check"
    _refused(newcomer.type(check, **settings, DATA_DIR=str(tmp_path)))


def test_a_database_keeps_the_model_that_it_was_filled_with(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    runtime = Runtime(Settings.from_env(data_dir=tmp_path))
    filled_with = EmbeddingSpace(
        SpaceKind.IMAGE, *PRODUCTION_MODEL, preprocessing="openclip-224-bicubic-v1", dimension=512
    )
    try:
        runtime.migrate()
        with runtime.transaction() as session:
            pin_space(session, filled_with)

        _refused(newcomer.type("bin/mirada models check", DATA_DIR=str(tmp_path)))

        assert runtime.space()[1] == filled_with
    finally:
        runtime.close()


def _refused(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    (fault,) = [line for line in said.splitlines() if "needs PyTorch" in line]
    assert "`make run FULL=1` installs it" in fault
    assert "Traceback" not in said


def test_a_worker_beside_a_web_server_does_the_work(
    newcomer: Newcomer, redis_url: str, tmp_path: Path
) -> None:
    web = Terminal(tmp_path, newcomer.root, REDIS_URL=redis_url, WEB_PROCESSES="1")
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            ["bin/mirada", "worker"],
            cwd=newcomer.root,
            env=web.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        web.wait_until_ready()
        with httpx2.Client(base_url=web.url, timeout=30, trust_env=False) as http:
            address = http.post("/api/v1/images", files={"file": ("a.png", picture(1))}).headers[
                "Location"
            ]
            wait_until(
                lambda: http.get(address).json()["status"] == "READY",
                what="the worker embeds the picture",
            )
            found = http.post("/api/v1/search", json={"image_id": 1, "k": 1})
            assert found.status_code == 200, found.text
        assert not any(each.has_torch for each in processes(worker.pid))
    finally:
        os.killpg(worker.pid, 15)
        worker.wait(PATIENCE_S)
        web.kill()
