"""Mirada as it is deployed: Gunicorn and worker processes on a real database, queue and disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from testing.patience import PATIENCE_S, wait_until
from testing.servers.process import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 90
"""Loading torch on two busy cores takes up to half of this."""


@dataclass
class Process:
    """A child process with its log in a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """As the kernel would: no chance to tidy up, children included."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self, timeout_s: float = 40) -> int:
        """As an operator would; return the exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not stop within {timeout_s} s\n{self.tail()}") from None
        return int(self.popen.returncode)

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Deployment:
    """Processes that share one database, queue and data folder."""

    folder: Path
    settings: dict[str, str]
    root: Path = ROOT
    processes: list[Process] = field(default_factory=list)
    clients: list[httpx2.Client] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        keep = {
            k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "CI", "TMPDIR")
        }
        chosen = (
            keep
            | {
                "MIRADA_ENV_FILE": os.devnull,
                "DATA_DIR": str(self.folder / "data"),
                "FAISS_INDEX_DIR": str(self.folder / "faiss_indexes"),
                "CLIP_MODEL": "bundled",
                "AUTH_MODE": "open",
                "LOG_FORMAT": "json",
                "PYTHONPATH": str(self.root),
                "OMP_NUM_THREADS": "1",
            }
            | self.settings
        )
        # An empty one leaves the choice to the product.
        return {name: v for name, v in chosen.items() if v or name != "OMP_NUM_THREADS"}

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product to its end."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=self.environment | extra,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, name: str, *arguments: str, **extra: str) -> Process:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        with log.open("ab") as sink:
            popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.root,
                env=self.environment | extra,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def web(self, name: str = "web", *, wait: bool = True, **extra: str) -> Web:
        port = free_port()
        process = self.start(
            name, "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app", PORT=str(port), **extra
        )
        web = Web(f"http://127.0.0.1:{port}", process)
        self.clients.append(web.http)
        if wait:
            web.wait_until_healthy()
        return web

    def worker(self, name: str = "worker") -> Process:
        return self.start(name, "workers")

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in self.processes:
            try:
                process.popen.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


class Web:
    """A client of one web process."""

    def __init__(self, url: str, process: Process) -> None:
        self.url = url
        self.process = process
        self.http = httpx2.Client(base_url=url, timeout=60, trust_env=False)

    def wait_until_healthy(self) -> None:
        def is_healthy() -> bool:
            assert self.process.popen.poll() is None, f"web process ended\n{self.process.tail()}"
            try:
                return self.http.get("/health").status_code == 200
            except httpx2.TransportError:
                return False

        try:
            wait_until(
                is_healthy, timeout_s=START_TIMEOUT_S, what="healthy web process", every_s=0.3
            )
        except AssertionError as error:
            try:
                last = self.http.get("/health").text
            except httpx2.TransportError as transport:
                last = repr(transport)
            raise AssertionError(f"{error}\nlast answer: {last}\n{self.process.tail()}") from None

    def upload(self, content: bytes, name: str = "picture.png", **form: str) -> dict[str, Any]:
        reply = self.http.post("/api/v1/images", files={"file": (name, content)}, data=form)
        assert reply.status_code == 201, reply.text
        return dict(reply.json()) | {"_change_seq": reply.headers.get("X-Change-Seq")}

    def image(self, image_id: int) -> dict[str, Any]:
        reply = self.http.get(f"/api/v1/images/{image_id}")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def images(self) -> Iterator[dict[str, Any]]:
        """Every image of the caller, page by page."""
        url: str | None = "/api/v1/images?limit=100"
        while url:
            reply = self.http.get(url)
            assert reply.status_code == 200, reply.text
            yield from reply.json()["results"]
            url = reply.json().get("next")

    def statuses(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for image in self.images():
            counts[image["status"]] = counts.get(image["status"], 0) + 1
        return counts

    def wait_until_ready(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until `count` images are READY and none is on its way."""
        try:
            wait_until(
                lambda: self.statuses() == {"READY": count},
                timeout_s=timeout_s,
                what=f"{count} images READY",
                every_s=0.5,
            )
        except AssertionError as error:
            raise AssertionError(
                f"{error}; now {self.statuses()}\n{self.process.tail(30)}"
            ) from None

    def search(self, **query: Any) -> dict[str, Any]:
        headers = {"X-Min-Change-Seq": str(query.pop("min_seq"))} if "min_seq" in query else {}
        reply = self.http.post("/api/v1/search", json=query, headers=headers)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def search_by_picture(self, content: bytes, **form: str) -> dict[str, Any]:
        reply = self.http.post("/api/v1/search", files={"file": ("query", content)}, data=form)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())


@contextmanager
def deployed(folder: Path, *, root: Path = ROOT, **settings: str) -> Iterator[Deployment]:
    """Yield a deployment whose processes are gone afterwards, whatever happens.

    Args:
        folder: of its data and logs.
        root: the checkout whose code runs.
        **settings: in capitals, beyond the usual ones.
    """
    deployment = Deployment(folder, settings, root)
    try:
        yield deployment
    finally:
        deployment.stop()
