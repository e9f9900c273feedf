"""Measures a change of the image model under load: failed requests, mixtures, how soon processes follow.

`make bench ARGS=model_switch` runs Gunicorn with two processes and a worker on MariaDB and Redis, kills
the worker in the middle, and prints what was seen. `python -m benchmarks.model_switch --pictures 5000`
takes a library of that size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from testing.servers.mariadb import mariadb_server
from testing.servers.redis import redis_server
from testing.switching import Outcome, drill


def main() -> None:
    """Run the drill and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=500)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mirada-switch-") as folder,
        mariadb_server() as server,
        server.new_database() as name,
        redis_server() as redis_url,
    ):
        report(drill(Path(folder) / "drill", arguments.pictures, server.url(name), redis_url))


def report(found: Outcome) -> None:
    """Print what a drill saw."""
    load = found.load
    checked = {name: count for name, count in found.checked.items() if name != "wrong"}
    rows = [
        ("pictures", found.pictures),
        ("second space ready after, s", f"{found.build_s:.1f}"),
        ("  of them embedded when the worker was killed", found.embedded_at_kill),
        ("requests meanwhile", dict(load.asked)),
        ("  slowest, s", f"{load.slowest_s:.2f}"),
        ("  failed", len(load.failed)),
        ("  cursors that ended with the model", load.expired),
        ("flip: request to all following, s", f"{found.flip_s:.2f}"),
        ("flip: row to all following, s (at most 2)", f"{found.follow_s:.2f}"),
        ("rollback: request to all following, s", f"{found.back_s:.2f}"),
        ("rollback: row to all following, s (at most 2)", f"{found.back_follow_s:.2f}"),
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


if __name__ == "__main__":
    main()
