"""A process that works jobs and wants one label expanded; run by the drills. Begins at a line of input."""

from __future__ import annotations

import json
import sys

from mirada.classify.expansions import expansion_within
from mirada.config import Settings
from mirada.runtime import Runtime
from workers.in_process import InProcessWorker

if __name__ == "__main__":
    runtime = Runtime(Settings.from_env())
    workers = InProcessWorker(runtime, threads=3)
    workers.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    found, status = expansion_within(runtime, sys.argv[1], 30_000)
    json.dump([status, found.to_dict() if found else None], sys.stdout)
    workers.stop()
    runtime.close()
