"""The interval around a share that was counted in a sample."""

from __future__ import annotations

import math

ONE_SIDED = 1.645
"""Standard deviations; the true share lies below the lower end 5 times in 100."""
TWO_SIDED = 1.96
"""Standard deviations; the true share lies outside the interval 5 times in 100."""


def wilson_low(successes: float, trials: float, z: float = ONE_SIDED) -> float:
    """Return the lower end of Wilson's interval for a share, in [0, 1]; 0 without trials.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927).
    """
    if trials <= 0:
        return 0.0
    share, square = successes / trials, z * z
    middle = share + square / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    return max(0.0, (middle - half) / (1 + square / trials))


def wilson_high(successes: float, trials: float, z: float = ONE_SIDED) -> float:
    """Return the upper end of the same interval, in [0, 1]; 1 without trials."""
    return 1.0 - wilson_low(trials - successes, trials, z)
