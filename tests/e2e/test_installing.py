"""dev/install.sh on a machine without pip, venv's parts and administrator; the index is on loopback.

What it installs is a stand-in for uv, a Python script in a wheel, that writes down how it was called.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from testing.deployment import ROOT, free_port, wait_until
from testing.patience import PATIENCE_S

SCRIPT = """#!/usr/bin/env python3
import glob, pathlib, sys, zipfile
python = sys.argv[sys.argv.index("--python") + 1]
site = glob.glob(str(pathlib.Path(python).parent.parent / "lib" / "python3*" / "site-packages"))[0]
zipfile.ZipFile(sys.argv[-1]).extractall(site)
"""
MODULE = """
import os, sys
if sys.argv[1:] == ["cache", "dir"]:
    print(os.environ["CACHE"])
elif sys.argv[1:] != ["--version"]:
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"uv {' '.join(sys.argv[1:])} cache={os.environ.get('UV_CACHE_DIR')}\\n")
    sys.stderr.write(os.environ.get("UV_DEFAULT_INDEX", "no index") + "\\n")
"""


def a_wheel() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("uv/__init__.py", "")
        archive.writestr("uv/__main__.py", MODULE)
        archive.writestr("uv-1.0.data/scripts/uv", SCRIPT)
    return file.getvalue()


WHEEL = a_wheel()


class Index(BaseHTTPRequestHandler):
    """A package index with one project; its wheels fit every machine."""

    def do_GET(self) -> None:
        is_page = self.path.endswith("/uv/")
        self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        names = [
            f"uv-1.0-py3-none-{system}_{machine}.whl"
            for system in ("manylinux_2_17", "musllinux_1_1", "macosx_11_0")
            for machine in ("x86_64", "aarch64", "arm64", "armv7l", "riscv64", "ppc64le", "s390x")
        ]
        page = "".join(f'<a href="../files/{name}#sha256=0">{name}</a>\n' for name in names)
        body = page.encode() if is_page else WHEEL
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@dataclass
class Machine:
    """A copy of dev/ in a folder of its own, and the programs that it may call."""

    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "dev").mkdir(parents=True)
        for name in ("install.sh", "get_uv.py"):
            shutil.copy(ROOT / "dev" / name, self.folder / "dev" / name)
        pin = f"uv==1.0 \\\n    --hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}\n"
        (self.folder / "dev" / "installer.txt").write_text(pin)
        for name in ("requirements-light.txt", "requirements.txt", "requirements-dev.txt"):
            (self.folder / name).write_text("nothing==1\n")
        (self.folder / "bin").mkdir()
        for name in ("sudo", "apt-get", "pip"):
            self.program(name, 'echo "$0 $*" >>"$CALLS"; exit 1')
        self.environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "CALLS": str(self.folder / "calls"),
            "CACHE": str(self.folder / "home" / "cache"),
            "PIP_INDEX_URL": f"http://127.0.0.1:{self.port}/simple",
        }

    def program(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["dev/install.sh", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def install(self, code: int = 0, wanted: str = "requirements.txt", reason: str = "") -> str:
        process = self.start(wanted, reason)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, output
        return output

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def machine(index: ThreadingHTTPServer, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "a folder", index.server_port)


def test_neither_pip_nor_an_administrator_is_needed(machine: Machine) -> None:
    said = machine.install()

    (call,) = machine.calls
    assert call.startswith("uv pip install ")
    assert "--require-hashes -r requirements.txt" in call
    assert "GB are downloaded" in said
    assert not list((machine.folder / ".venv" / "bin").glob("pip*"))
    # Everything is there, so that the second run asks nobody.
    machine.environment["PIP_INDEX_URL"] = f"http://127.0.0.1:{free_port()}/simple"
    assert machine.install() == ""
    assert machine.calls == [call]


def test_what_is_contained_is_there_and_what_is_not_is_added(machine: Machine) -> None:
    said = machine.install(wanted="requirements-light.txt")
    assert "about 150 MB are downloaded and 450 MB unpacked" in said
    assert machine.install(wanted="requirements-light.txt") == ""

    said = machine.install(reason="TEXT_MODEL=x needs PyTorch.")
    assert said.startswith(
        "TEXT_MODEL=x needs PyTorch.\nInstalling requirements.txt into .venv, once"
    )
    assert machine.install(reason="TEXT_MODEL=x needs PyTorch.") == ""

    machine.install(wanted="requirements-dev.txt")
    (machine.folder / "requirements-light.txt").write_text("nothing==2\n")
    assert machine.install() == ""
    machine.install(wanted="requirements-light.txt")

    installed = [call.partition(" -r ")[2].split()[0] for call in machine.calls]
    both = ["requirements-light.txt", "requirements.txt"]
    assert installed == [*both, "requirements-dev.txt", "requirements-light.txt"]


def test_another_file_than_the_pinned_one_is_refused(machine: Machine) -> None:
    (machine.folder / "dev" / "installer.txt").write_text("uv==1.0 --hash=sha256:" + "0" * 64)

    assert "is not the pinned one: its hash differs" in machine.install(code=1)
    assert machine.calls == []


def test_an_index_that_does_not_answer_is_one_true_sentence(machine: Machine) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    machine.environment["PIP_INDEX_URL"] = f"http://ana:secret@{nobody}/simple"

    said = machine.install(code=1).splitlines()

    assert said[-1] == (
        f"The package index http://{nobody}/simple cannot be reached: [Errno 111] Connection "
        "refused. Nothing was installed. Check the network; HTTPS_PROXY names a proxy, PIP_INDEX_URL "
        "another index."
    )
    machine.environment |= {"http_proxy": f"http://{nobody}", "PIP_INDEX_URL": "http://far/simple"}
    assert f"http://far/simple cannot be reached by the proxy http://{nobody}: " in machine.install(
        1
    )
    assert machine.calls == []


def test_the_index_that_pip_is_told_is_used_with_its_password(
    machine: Machine, index: ThreadingHTTPServer
) -> None:
    url = machine.environment.pop("PIP_INDEX_URL").replace("//", "//ana:a%40b@")
    config = machine.folder / "home" / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text(f"[global]\nindex-url = {url}\n")

    assert url in machine.install()

    login = "Basic " + base64.b64encode(b"ana:a@b").decode()
    assert {login} == {asked[1] for asked in index.asked}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wanted", "free_mb", "needed_mb"),
    [("requirements.txt", 1000, 6400), ("requirements-light.txt", 300, 500)],
)
def test_too_little_room_is_told_before_anything_is_downloaded(
    machine: Machine, wanted: str, free_mb: int, needed_mb: int
) -> None:
    machine.program("df", f"echo; echo disk 9000 8000 {free_mb} 90% /")

    said = machine.install(1, wanted)

    assert f"about {needed_mb} MB" in said
    assert f"{free_mb} MB are free there" in said
    assert machine.calls == []


def test_a_cache_that_cannot_be_linked_from_is_not_filled(machine: Machine) -> None:
    machine.install()
    assert machine.calls[-1].endswith(f"cache={machine.folder}/home/cache")

    machine.program("ln", "exit 1")
    (machine.folder / "requirements.txt").write_text("nothing==2\n")
    machine.install()

    assert machine.calls[-1].endswith(f"cache={machine.folder}/.venv/.cache")
    assert not (machine.folder / ".venv" / ".cache").exists()


@pytest.mark.parametrize("is_there", [False, True], ids=["nothing is there", "all is there"])
def test_a_second_terminal_says_what_it_waits_for(machine: Machine, is_there: bool) -> None:
    if is_there:
        machine.install()
    output = machine.folder / "said"
    with (machine.folder / ".install.lock").open("w") as lock, output.open("w") as sink:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            ["dev/install.sh", "requirements.txt"],
            cwd=machine.folder,
            env=machine.environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        wait_until(
            lambda: "Another terminal is installing" in output.read_text(),
            what="it says that it waits",
        )
        assert process.poll() is None
    assert process.wait(PATIENCE_S) == 0
    assert len(machine.calls) == 1


@pytest.mark.parametrize("is_root", [True, False], ids=["root", "a user without sudo"])
def test_what_apt_says_is_shown_where_it_fails(tmp_path: Path, is_root: bool) -> None:
    programs = {
        "id": f"echo {0 if is_root else 1000}",
        "sudo": "exit 1",
        "apt-get": 'for n in 1 2 3 4 5 6 7; do echo "line $n of $1"; done; exit 100',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    said = subprocess.run(
        ["bash", "-c", "source dev/apt.sh; apt_install 'Tests need it' some-server || echo no"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout.splitlines()

    if is_root:
        assert said == [
            "Installing some-server ...",
            "apt-get could not install some-server; its last lines:",
            *(f"line {n} of install" for n in range(3, 8)),
            "no",
        ]
    else:
        line = "sudo apt-get install -y --no-install-recommends some-server"
        assert said == [f"Tests need it: {line}", "no"]


@pytest.mark.parametrize(
    ("settings", "installed"),
    [
        ({}, ["requirements-light.txt"]),
        ({"CLIP_MODEL": "bundled"}, ["requirements-light.txt"]),
        ({"TEXT_MODEL": "x"}, ["requirements-light.txt", "requirements.txt"]),
        ({"FULL": "1"}, ["requirements.txt"]),
    ],
)
def test_make_run_installs_pytorch_where_it_is_needed(
    machine: Machine, settings: dict[str, str], installed: list[str]
) -> None:
    for name in ("install_to_run.sh", "needs_torch.py"):
        shutil.copy(ROOT / "dev" / name, machine.folder / "dev" / name)
    # What reads `.env` comes with the light set, which is not installed here.
    (machine.folder / "there").mkdir()
    (machine.folder / "there" / "dotenv.py").write_text("def dotenv_values(file): return {}\n")
    machine.program("nvidia-smi", "exit 9")

    done = subprocess.run(
        ["dev/install_to_run.sh"],
        cwd=machine.folder,
        env={
            **machine.environment,
            "PYTHONPATH": str(machine.folder / "there"),
            # A machine with a GPU would need PyTorch whatever the settings are.
            "EMBEDDINGS_DEVICE": "cpu",
            **settings,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [call.partition(" -r ")[2].split()[0] for call in machine.calls] == installed
    needed = "TEXT_MODEL=x needs PyTorch." in done.stderr
    assert needed is ("TEXT_MODEL" in settings)
