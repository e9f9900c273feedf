"""`python -m workers` with the quick encoder, and with shorter waits; run by the drills.

What is short is only how long things wait: retries, sweeps, what a server that names no time gets, and
how long a circuit stays open. In the environment: QUICKLY=0 leaves the product's own times.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import replace

from mirada.adapters.language_model import failures
from mirada.captions.writing import CAPTION_IMAGE
from mirada.config import Settings
from mirada.jobs.kinds import RetryPolicy
from mirada.kernel.circuit import CircuitBreaker
from mirada.runtime import Runtime
from testing.worksite import MeanColours
from workers import __main__, logs
from workers.kinds import KINDS
from workers.sweeper import Sweeper

if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings)
    runtime = Runtime(settings)
    runtime.remember("encoder", MeanColours())
    if os.environ.get("QUICKLY") != "0":
        quick = RetryPolicy(max_attempts=8, first_delay_s=0.3, max_delay_s=2.0)
        KINDS[CAPTION_IMAGE] = replace(KINDS[CAPTION_IMAGE], retry_policy=quick)
        failures.RETRY_AFTER_S = 1
        __main__.Sweeper = functools.partial(Sweeper, every_s=0.3)  # type: ignore[misc,assignment]
        runtime.remember("circuit", CircuitBreaker(pause_s=1.0, max_pause_s=2.0))
    sys.exit(__main__.serve(runtime))
