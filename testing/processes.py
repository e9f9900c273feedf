"""Asking one chosen process of a web server that has several: a connection stays with who accepted it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2

from testing.deployment import Web

TRIES = 400
"""New connections until the chosen process accepts one; which one does is the kernel's choice."""
SOCKET_INODE, REMOTE, LOCAL = 9, 2, 1
"""Columns of /proc/net/tcp, proc(5)."""


class Lines:
    """Connections to each process of one web server.

    Attributes:
        pids: of the processes that serve.
    """

    def __init__(self, web: Web) -> None:
        self.web = web
        parent = web.process.popen.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        self.pids = [int(each) for each in children]
        self._clients: dict[int, httpx2.Client] = {}

    def ask(
        self, pid: int, method: str, path: str, headers: dict[str, str], **parts: Any
    ) -> tuple[httpx2.Response, float]:
        """Return what a process answers, and when the question was put to it; it may be put to others too."""
        for _ in range(TRIES):
            client = self._clients.pop(pid, None) or self._fresh()
            began = time.monotonic()
            try:
                reply = client.request(method, path, headers=headers, **parts)
            except httpx2.RemoteProtocolError:
                # The server let go of a connection that nobody used for a while.
                client.close()
                continue
            answered_by = self._pid_of(reply)
            # One connection each: a second one to the same process would only be in the way.
            self._clients.setdefault(answered_by, client)
            if self._clients[answered_by] is not client:
                client.close()
            if answered_by == pid:
                return reply, began
        raise AssertionError(f"process {pid} accepted none of {TRIES} connections")

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _fresh(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.web.url, timeout=60, trust_env=False)

    def _pid_of(self, reply: httpx2.Response) -> int:
        """Return which process holds the server's end of the connection that a reply came by."""
        _, client_port = reply.extensions["network_stream"].get_extra_info("client_addr")[:2]
        ends = (int(self.web.url.rpartition(":")[2]), client_port)
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            columns = line.split()
            ports = tuple(int(columns[at].rpartition(":")[2], 16) for at in (LOCAL, REMOTE))
            if ports == ends:
                socket = f"socket:[{columns[SOCKET_INODE]}]"
                for pid in self.pids:
                    if any(socket == _target(each) for each in Path(f"/proc/{pid}/fd").iterdir()):
                        return pid
        raise AssertionError(f"no process of {self.pids} holds the connection from {client_port}")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
