"""The CPU time of the processes that the intake benchmark runs, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Processes:
    """The CPU time of everything that this process has started, by what it is."""

    NAMES = (
        ("image_decoder", "decoders"),
        ("gunicorn", "web"),
        ("workers", "worker"),
        ("mariadbd", "MariaDB"),
        ("redis-server", "Redis"),
        ("intake_import", "import"),
    )

    def seconds(self) -> dict[str, float]:
        """Return the seconds of CPU so far; processes that have ended count where they were waited for."""
        found: dict[str, float] = {}
        children: dict[int, list[int]] = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and (columns := self._columns(path)):
                children.setdefault(int(columns[1]), []).append(int(path.name))
        waiting = list(children.get(os.getpid(), ()))
        while waiting:
            pid = waiting.pop()
            waiting += children.get(pid, ())
            columns, name = self._columns(Path(f"/proc/{pid}")), self._name(pid)
            if columns:
                found[name] = found.get(name, 0.0) + sum(map(int, columns[11:15])) / TICKS_PER_S
        return found

    def _name(self, pid: int) -> str:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return "other"
        parts = command.split()
        return next(
            (name for part, name in self.NAMES if any(part in one for one in parts[:5])), "other"
        )

    @staticmethod
    def _columns(process: Path) -> list[str]:
        """Return the columns of proc(5)'s stat behind the name: state, parent, and so on."""
        try:
            return (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return []
