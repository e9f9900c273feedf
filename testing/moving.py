"""Imports as an operator runs them: `bin/mirada import` as a process, killed in the middle, run again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from testing.deployment import Deployment
from testing.patience import wait_until
from testing.servers.process import die_with_parent

Counting = Callable[[], int]
"""How far an import is, in rows that are committed."""


@dataclass
class Moving:
    """The imports of one source.

    Attributes:
        deployment: where it goes.
        arguments: of `mirada import`.
        killed_at: rows that were there at each kill.
        seconds: that each run took, killed ones included.
    """

    deployment: Deployment
    arguments: Sequence[str]
    killed_at: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        """Start the command."""
        self.deployment.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [str(self.deployment.root / "bin/mirada"), "import", *self.arguments, "--json"],
            env=self.deployment.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def kill_at(self, rows: int, count: Counting) -> None:
        """Run it, and end it with SIGKILL a moment after so many rows are there."""
        began = time.monotonic()
        child = self.start()

        def is_there() -> bool:
            ended = child.poll() is not None
            assert not ended, f"it ended before {rows:,} rows: {child.communicate()}"
            return count() >= rows

        wait_until(is_there, what=f"{rows:,} rows", every_s=0.02)
        time.sleep(random.uniform(0, 0.3))
        assert child.poll() is None, "it ended before it was killed"
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        self.killed_at.append(count())
        self.seconds.append(time.monotonic() - began)

    def finish(self) -> dict[str, Any]:
        """Run it to its end and return its report."""
        began = time.monotonic()
        child = self.start()
        output, errors = child.communicate(timeout=900)
        self.seconds.append(time.monotonic() - began)
        assert child.returncode == 0, f"{output[-2000:]}\n{errors[-2000:]}"
        report: dict[str, Any] = json.loads(output)
        return report

    def told(self) -> str:
        """Return the figures as a line."""
        kills = ", ".join(f"{rows:,}" for rows in self.killed_at)
        runs = ", ".join(f"{seconds:.1f}" for seconds in self.seconds)
        return f"killed at {kills} rows; runs of {runs} s"


def counting(url: str, entity: Any) -> Counting:
    """Return what counts the rows of a table, 0 while there is no such table."""
    engine = create_engine(make_url(url), poolclass=NullPool)

    def count() -> int:
        try:
            with engine.connect() as connection:
                return int(
                    connection.execute(select(func.count()).select_from(entity)).scalar_one()
                )
        except DBAPIError:
            return 0

    return count


def files_below(folder: Path) -> set[str]:
    """Return the keys of the originals in a store, without what is being received."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".staging" not in path.parts
    }
