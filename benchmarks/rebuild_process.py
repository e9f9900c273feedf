"""The processes of `benchmarks.rebuild`: each does one thing, and prints what it took as lines of JSON."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from mirada.db.session import Database, make_engine
from mirada.db.vector_rows import DatabaseVectors
from mirada.embedding.index_rebuild import build_snapshot
from mirada.ports import SnapshotRecord

LOOK_EVERY_S = 0.01


class Stopwatch:
    """Seconds by the clock and of this process's processors; a busy machine blurs only the first."""

    def __init__(self) -> None:
        """Start both."""
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both."""
        return time.perf_counter() - self._started[0], time.process_time() - self._started[1]


class Memory:
    """The most memory of its own that this process has had, in bytes, by /proc.

    Files that are mapped are not in it: their pages are the kernel's, which takes them back.
    """

    def __init__(self) -> None:
        """Begin to look."""
        self.before = self.peak = self._now()
        self._ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> int:
        """Return the most there was beyond the beginning."""
        self._ended.set()
        return self.peak - self.before

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(
            int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssA", "RssS"))
        )


class Watched(DatabaseVectors):
    """A source that tells when a snapshot was published."""

    told: Callable[[SnapshotRecord], object] = staticmethod(lambda record: None)

    def record_snapshot(self, record: SnapshotRecord, fencing_token: int) -> None:
        """Publish, and tell."""
        super().record_snapshot(record, fencing_token)
        self.told(record)


def say(**found: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(found), flush=True)


def read(source: DatabaseVectors) -> None:
    """Read every row, checksums compared, and hold a page at a time."""
    source.space  # noqa: B018 - connects
    memory = Memory()
    for _ in range(2):
        watch, rows, entries = Stopwatch(), 0, 0
        for page in source.live_rows_through(1 << 60):
            rows += int((~page.dead).sum())
            entries += page.access_rows.size
        clock, processor = watch.read()
        say(rows=rows, entries=entries, clock_s=clock, processor_s=processor)
    say(memory=memory.stop())


def build(source: Watched, folder: Path, *, with_graph: bool) -> None:
    """Build and publish, as a worker does."""
    from mirada.adapters.vector_index.faiss.index import FaissIndex
    from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings

    index = FaissIndex(source, folder, BuildSettings(recall_target=0.98, with_graph=with_graph))
    source.space  # noqa: B018 - connects
    memory, watch = Memory(), Stopwatch()

    def published(record: SnapshotRecord) -> None:
        clock, processor = watch.read()
        size = sum(file["bytes"] for file in record.manifest["files"].values())
        say(kind=record.manifest["kind"], clock_s=clock, processor_s=processor, bytes=size)

    source.told = published
    build_snapshot(index, 1, lambda done, total: None)
    clock, processor = watch.read()
    say(kind="all", clock_s=clock, processor_s=processor, memory=memory.stop())


def main() -> None:
    """Do the one thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["read", "build", "build-without-graph"])
    parser.add_argument("url")
    parser.add_argument("space", type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    database = Database(make_engine(make_url(arguments.url), 4))
    source = Watched(database, arguments.space)
    if arguments.what == "read":
        read(source)
    else:
        build(source, arguments.folder, with_graph=arguments.what == "build")
    database.close()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
