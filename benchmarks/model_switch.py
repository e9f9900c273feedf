"""Measures a change of the image model under load: failed requests, mixtures, how soon processes follow.

`make bench ARGS=model_switch` runs Gunicorn with two processes and a worker on MariaDB and Redis, kills
the worker in the middle, and prints what was seen. `python -m benchmarks.model_switch --pictures 5000`
takes a library of that size.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from testing.servers.mariadb import mariadb_server
from testing.servers.redis import redis_server
from testing.switching import Outcome, Turn, drill


def main() -> None:
    """Run the drill and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=500)
    arguments = parser.parse_args()
    began = time.monotonic()

    def tell(step: str) -> None:
        # A run that is ended from outside has said how far it came.
        print(f"{time.monotonic() - began:7.1f} s  {step}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="mirada-switch-") as folder,
        mariadb_server() as server,
        server.new_database() as name,
        redis_server() as redis_url,
    ):
        url = server.url(name)
        report(drill(Path(folder) / "drill", arguments.pictures, url, redis_url, tell))


def report(found: Outcome) -> None:
    """Print what a drill saw."""
    load = found.load
    checked = {name: count for name, count in found.checked.items() if name != "wrong"}
    rows = [
        ("pictures", found.pictures),
        ("second space ready after, s", f"{found.build_s:.1f}"),
        ("  of them embedded when the worker was killed", found.embedded_at_kill),
        ("then every process prepared after, s", f"{found.prepared_s:.1f}"),
        ("requests meanwhile", dict(load.asked)),
        ("  slowest, s", f"{load.slowest_s:.2f}"),
        ("  failed", len(load.failed)),
        ("  cursors that ended with the model", load.expired),
        *_turned("flip", found.flip),
        *_turned("rollback", found.back),
        ("query vectors checked, by model", checked),
        ("  of the other model", found.checked["wrong"]),
        ("stored vectors of the other model", found.misplaced),
        ("images without a vector in a space", found.missing),
        ("load average", " ".join(f"{each:.1f}" for each in os.getloadavg())),
    ]
    for name, value in rows:
        print(f"{name:<48} {value}")
    for failure in load.failed[:10]:
        print(f"FAILED {failure}")


def _turned(name: str, turn: Turn | None) -> list[tuple[str, object]]:
    if turn is None:
        return [(name, "not reached")]
    return [
        (f"{name}: request to answer, s (at most 2)", f"{turn.answered_s:.2f}"),
        (f"{name}: request to all processes, s (at most 2)", f"{turn.everywhere_s:.2f}"),
        ("  all had followed when it was answered", turn.was_everywhere),
    ]


if __name__ == "__main__":
    main()
