"""A worker that groups a library and kills itself when half of it is written down."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from mirada.config import Settings
from mirada.groups import runs
from mirada.runtime import Runtime
from workers.runner import run_job

if __name__ == "__main__":
    store, stored = runs.store, []

    def mortal(
        session: Session, run_id: int, page: Any, known: Mapping[int, int], of_ids: Any
    ) -> Any:
        stored.append(len(page.groups))
        if sum(stored) > 1_500:
            os.kill(os.getpid(), signal.SIGKILL)
        return store(session, run_id, page, known, of_ids)

    runs.store = mortal
    run_job(Runtime(Settings.from_env()), int(sys.argv[1]))
