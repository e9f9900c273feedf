"""`python -m workers` with the quick encoder in place of a network; run by the drills."""

from __future__ import annotations

import os
import sys
import time

from mirada.bootstrap import Runtime
from mirada.config import Settings
from tests.workers.worksite import MeanColours
from workers import __main__, logs

if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings)
    runtime = Runtime(settings)
    encoder = MeanColours()
    encoder.before = lambda: time.sleep(float(os.environ.get("ENCODING_TAKES_S", "0")))
    runtime._ports["encoder"] = encoder
    sys.exit(__main__.serve(runtime))
