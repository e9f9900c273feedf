"""The doorbell: a message to the workers that a job is due. It knows no queue; `workers` has those."""

from __future__ import annotations

from typing import Protocol


class Doorbell(Protocol):
    """Tells workers of jobs whose rows are committed. A lost message loses time and never work."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send a message for a committed job; never raises and waits about a second at most.

        Returns:
            Whether the message was taken as far as we know; if not, the sweeper sends it again.
        """

    def waiting(self) -> int | None:
        """Return how many messages no worker has fetched; None where no queue lies in between.

        Raises what the queue's client raises when the queue cannot be reached.
        """


class SilentDoorbell:
    """Rings nowhere: the rows wait for workers that look into the database by themselves."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send nothing."""
        return False

    def waiting(self) -> int | None:
        """Return None: there is no queue."""
        return None
