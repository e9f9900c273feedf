"""A doorbell for tests without a worker: copies that a request asks for are made while it rings."""

from __future__ import annotations

from typing import Any

from mirada.pictures.thumbnails import MAKE_THUMBNAILS
from mirada.ports import Doorbell
from mirada.runtime import Runtime


class CopiesAtOnce:
    """Does the jobs that make thumbnails in the thread that rings for them; the rest is passed on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._other: Doorbell = runtime.doorbell

    def ring(self, job_id: int, kind: str) -> bool:
        if kind != MAKE_THUMBNAILS:
            return self._other.ring(job_id, kind)
        from workers.runner import run_job

        self._runtime.end_request()
        try:
            return run_job(self._runtime, job_id)
        finally:
            self._runtime.begin_request()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)

    def waiting(self) -> int | None:
        return self._other.waiting()
