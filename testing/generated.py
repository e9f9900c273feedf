"""Tools of other people that the drills run: installed pinned and hashed, once for each list of them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from testing.servers.process import missing

LISTS = Path(__file__).resolve().parents[1] / "tests" / "clients"
INSTALL_TIMEOUT_S = 600


def run(*command: str | Path, folder: Path, timeout_s: float = 300) -> str:
    """Run a command to its end and return what it said; fail with that where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}"
    )
    return said


def python_tools(cache: Path) -> Path:
    """Return the folder of commands from tests/clients/requirements.txt; a skip without a registry."""
    wanted = LISTS / "requirements.txt"
    place = cache / f"python-{_digest(wanted)}"
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        run(sys.executable, "-m", "venv", place, folder=cache)
        pip = (place / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes")
        _install(*pip, "-r", wanted, folder=cache, what="generators for Python")
        (place / "done").touch()
    return place / "bin"


def node_tools(cache: Path) -> Path:
    """Return a folder with the node_modules of tests/clients/package-lock.json; a skip without npm."""
    if shutil.which("npm") is None:
        missing("npm", "apt install npm")
    lock = LISTS / "package-lock.json"
    place = cache / f"node-{_digest(lock)}"
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LISTS / name, place)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
        _install("npm", "ci", *quiet, folder=place, what="generators for Node")
        (place / "done").touch()
    return place


def _install(*command: str | Path, folder: Path, what: str) -> None:
    try:
        run(*command, folder=folder, timeout_s=INSTALL_TIMEOUT_S)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        missing(what, f"they cannot be installed here: {error}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
