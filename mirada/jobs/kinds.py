"""How often, and after how long, each kind of work is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from mirada.jobs.ledger import (
    CAPTION_IMAGE,
    CLASSIFY_IMAGES,
    CREATE_EMBEDDINGS,
    EXPAND_LABEL,
    GENERATE_IMAGE,
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how long, a kind of work is tried again after an error.

    Attributes:
        max_attempts: attempts that may end in an error before the job is failed.
        first_delay_s: wait after the first error; it doubles with every further one.
        max_delay_s: the wait never grows beyond this.
    """

    max_attempts: int = 5
    first_delay_s: float = 30.0
    max_delay_s: float = 3_600.0

    def delay_s(self, errors: int) -> float:
        """Return the wait after the given number of errors (>= 1), jittered by a fifth either way."""
        exponential = self.first_delay_s * 2.0 ** min(errors - 1, 30)
        jittered = exponential * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
        return min(jittered, self.max_delay_s)


DEFAULT_POLICY = RetryPolicy()
POLICIES = {
    # CONTRACT A: three attempts with exponential backoff.
    CREATE_EMBEDDINGS: RetryPolicy(max_attempts=3, first_delay_s=10.0),
    # Somebody may be looking at the label; a server that is busy says for how long.
    EXPAND_LABEL: RetryPolicy(first_delay_s=5.0),
    # Images that were uploaded a moment ago may still wait for their vectors, ten minutes in all.
    CLASSIFY_IMAGES: RetryPolicy(max_attempts=8, first_delay_s=5.0),
    # Nobody waits for a caption, and a server that hangs now and then is no reason to go without.
    CAPTION_IMAGE: RetryPolicy(max_attempts=8, first_delay_s=10.0),
    # Each silence may have been a picture that is paid for, so there are few.
    GENERATE_IMAGE: RetryPolicy(max_attempts=4, first_delay_s=10.0),
}


def policy_of(kind: str) -> RetryPolicy:
    """Return the policy of a kind of work."""
    return POLICIES.get(kind, DEFAULT_POLICY)
