"""The first minute on a machine that has nothing: `make run`, `make demo` beside it at once, Ctrl-C, again.

A minimal Debian is made by debootstrap and entered by chroot, as an ordinary user and as root. Each suite
downloads some 300 MB once. MIRADA_ROOTS names a folder that keeps the roots; what was said is printed (-s).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.deployment import ROOT, free_port

pytestmark = pytest.mark.drill
MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,git,make,ca-certificates"
"""What README.md asks for; git brings certificates where it is installed by apt."""
INSTALL_S, START_S, STOP_S = 1800, 120, 30
READY = re.compile(rb"^Ready: ", re.MULTILINE)
CERTIFICATES = "/etc/certificates-of-this-network.pem"


class Debian:
    """A minimal Debian in a folder."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder, self.suite = folder / suite, suite
        if not (self.folder / "etc" / "debian_version").exists():
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}"]
            subprocess.run([*command, suite, str(self.folder), MIRROR], check=True)
        shutil.copy("/etc/resolv.conf", self.folder / "etc" / "resolv.conf")
        if "SSL_CERT_FILE" in os.environ:
            shutil.copy(os.environ["SSL_CERT_FILE"], f"{self.folder}{CERTIFICATES}")
        passwd = self.folder / "etc" / "passwd"
        if "\nana:" not in passwd.read_text():
            passwd.write_text(passwd.read_text() + "ana:x:1000:1000::/home/ana:/bin/sh\n")

    def home(self, user: str) -> str:
        return "/root" if user == "root" else f"/home/{user}"

    def put_tree(self, user: str) -> None:
        """Lay the committed tree into the user's home, as a clone would."""
        tree = Path(f"{self.folder}{self.home(user)}/mirada")
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
        if user != "root":
            subprocess.run(["chown", "-R", "1000:1000", str(tree.parent)], check=True)

    def share_cache(self, giver: str, taker: str) -> None:
        """Link what one user downloaded into the cache of another, who may be root only."""
        taken = Path(f"{self.folder}{self.home(taker)}/.cache")
        given = Path(f"{self.folder}{self.home(giver)}/.cache")
        if given.exists() and not taken.exists():
            subprocess.run(["cp", "-al", str(given), str(taken)], check=True)

    def command(self, user: str, line: str, port: int) -> list[str]:
        who = "0" if user == "root" else "1000"
        given = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home(user),
            "TERM": "xterm",
            "PORT": str(port),
            # The other model is a download of 1.5 GB more.
            "CLIP_MODEL": "bundled",
        }
        if "SSL_CERT_FILE" in os.environ:
            given["SSL_CERT_FILE"] = CERTIFICATES
        if "OMP_NUM_THREADS" in os.environ:
            # On a machine that others keep busy, threads that wait for each other hardly move.
            given["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
        variables = " ".join(f"{name}={value}" for name, value in given.items())
        inside = (
            "mount -t proc proc /proc && exec setpriv "
            f"--reuid={who} --regid={who} --clear-groups env -i {variables} "
            f"sh -c 'cd ~/mirada && exec {line}'"
        )
        return ["unshare", "--mount", "chroot", str(self.folder), "sh", "-c", inside]


class Terminal:
    """A command on a terminal of its own; its keys are pressed, and what it shows is kept."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.shown = b""
        self.began_s = time.monotonic()
        # A terminal that nobody reads holds up whoever writes on it.
        self._reader = threading.Thread(target=self._look, daemon=True)
        self._reader.start()

    def _look(self) -> None:
        # Linux answers EIO once every process has closed its side.
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65_536):
                self.shown += data

    def wait(self, until: re.Pattern[bytes] | None, timeout_s: float) -> float:
        """Wait for a line, or for the end; return the seconds since it began."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            has_ended = self.process.poll() is not None
            if (until is not None and until.search(self.shown)) or (until is None and has_ended):
                return time.monotonic() - self.began_s
            assert not has_ended, self.text
            time.sleep(0.1)
        raise AssertionError(f"still waiting after {timeout_s} s:\n{self.text}")

    def press_ctrl_c(self) -> float:
        """Return how many seconds the end took."""
        pressed_s = time.monotonic()
        os.write(self._ours, b"\x03")
        self.wait(None, STOP_S)
        return time.monotonic() - pressed_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        os.close(self._ours)

    @property
    def text(self) -> str:
        """What was shown, without colours, progress that was drawn over, and a line a package."""
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.shown).decode(errors="replace")
        lines = [line.rstrip().split("\r")[-1] for line in plain.replace("\r\n", "\n").split("\n")]
        noise = re.compile(r"^ \+ |^$|^(GET|POST) |^\S+ (GET|POST) |.*[-#]{10,}|^[⠀-⣿]")
        return "\n".join(line for line in lines if not noise.match(line))


@pytest.fixture(params=["bookworm", "trixie"])
def debian(request: pytest.FixtureRequest) -> Iterator[Debian]:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("a minimal Debian is made by root, by debootstrap")
    kept = os.environ.get("MIRADA_ROOTS")
    # Not in memory, where tests keep their files: a root takes 1 GB.
    folder = Path(kept or tempfile.mkdtemp(prefix="mirada-debian-", dir="/var/tmp"))
    yield Debian(folder, request.param)
    if not kept:
        shutil.rmtree(folder)


@pytest.mark.parametrize("user", ["ana", "root"])
def test_two_commands_are_two(debian: Debian, user: str) -> None:
    debian.put_tree(user)
    if user == "root":
        debian.share_cache("ana", "root")
    port = free_port()
    run = Terminal(debian.command(user, "make run", port))
    demo = Terminal(debian.command(user, "make demo", port))
    try:
        installed_s = run.wait(READY, INSTALL_S)
        demo.wait(None, 600)
        assert demo.process.returncode == 0, demo.text
        stopped_s = run.press_ctrl_c()
        again = Terminal(debian.command(user, "make run", port))
        try:
            started_s = again.wait(READY, START_S)
            stopped_again_s = again.press_ctrl_c()
        finally:
            again.close()
    finally:
        run.close()
        demo.close()
    print(
        f"\n===== {debian.suite}, {user}: Ready after {installed_s:.0f} s, Ctrl-C {stopped_s:.1f} s, "
        f"again Ready after {started_s:.1f} s, Ctrl-C {stopped_again_s:.1f} s"
        f"\n--- make run\n{run.text}\n--- make demo\n{demo.text}\n--- make run again\n{again.text}"
    )
    for terminal in (run, demo, again):
        assert "Traceback" not in terminal.text
    assert "searchable 300 of 300" in demo.text
