"""The doorbell: messages that tell workers of due jobs. The queues behind it are in `workers`."""

from __future__ import annotations

from typing import Protocol


class Doorbell(Protocol):
    """Tells workers of committed jobs. A lost message delays a job and never loses it."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send a message for a committed job. It never raises and waits about a second at most.

        Returns:
            Whether the queue took the message, as far as is known; if not, the sweeper rings again.
        """

    def waiting(self) -> int | None:
        """Return the number of messages that no worker has fetched; None where there is no queue.

        It raises the errors of the queue's client when the queue cannot be reached.
        """


class SilentDoorbell:
    """A doorbell without a queue: jobs wait until a worker finds them in the database."""

    def ring(self, job_id: int, kind: str) -> bool:
        """Send nothing and return False."""
        return False

    def waiting(self) -> int | None:
        """Return None: there is no queue."""
        return None
