"""A process that works on one job and is killed at a given moment; run by the drills.

Arguments: the job's id, and when: "received" (the bytes are kept, their cost is not written),
"paid" (nothing is registered), "registered" (the copy in `drawn/` is still there), or "never".
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from mirada.config import Settings
from mirada.drawing import job
from mirada.language_model import paying
from mirada.runtime import Runtime
from testing.worksite import MeanColours
from workers.runner import run_job


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    moment = sys.argv[2]
    if moment == "received":
        paying._settle = die  # type: ignore[assignment]
    elif moment == "paid":
        job._register = die
    elif moment == "registered":
        job._forget = die
    runtime = Runtime(Settings.from_env())
    runtime.remember("encoder", MeanColours())
    run_job(runtime, int(sys.argv[1]))
    runtime.close()
