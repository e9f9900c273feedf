"""Intervals around a share that was counted in a sample, and around a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

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


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over a sample and the interval that holds the true mean 95 times in 100.

    Attributes:
        value: the mean.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


def wilson_estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of at least one value in [0, 1], with Wilson's two-sided interval.

    For values of 0 or 1 it is the interval of a share. Other values in [0, 1] spread less around the
    same mean m: their variance is at most m (1 - m). For them it is rather too wide than too narrow.
    It is never of no width, also where all values are alike.
    """
    total, count = math.fsum(values), len(values)
    return Estimate(
        total / count, wilson_low(total, count, TWO_SIDED), wilson_high(total, count, TWO_SIDED)
    )


def mean_estimate(values: Sequence[float], lowest: float, highest: float) -> Estimate:
    """Return the mean of at least one value with Student's interval, cut to the values' range.

    It is m -+ t s / sqrt(n): s is the standard deviation with n - 1, t Student's quantile of n - 1
    degrees of freedom. Where all values are alike, or there is one, their spread says nothing. Then
    other values may be unlike them in a share of cases, up to the upper end h of Wilson's interval for
    none of n. So the mean lies between m (1 - h) + h lowest and m (1 - h) + h highest.

    Args:
        values: a sample, each value in the range.
        lowest: end of the range.
        highest: the other one.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    count = len(values)
    mean = math.fsum(values) / count
    if min(values) == max(values):
        unlike = wilson_high(0, count, TWO_SIDED)
        known = mean * (1 - unlike)
        return Estimate(mean, known + unlike * lowest, known + unlike * highest)
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in values) / (count - 1))
    half = t_quantile(count - 1) * spread / math.sqrt(count)
    return Estimate(mean, max(lowest, mean - half), min(highest, mean + half))


def t_quantile(degrees: int, outside: float = 0.05) -> float:
    """Return the t beyond which, on both sides together, a share of Student's distribution lies.

    Args:
        degrees: of freedom, >= 1.
        outside: that share, in (0, 1).

    Source: Hill, "Algorithm 396: Student's t-quantiles", Communications of the ACM 13 (1970). Right to
    five digits from three degrees on, and exact for one and two.
    """
    n = float(degrees)
    if degrees == 1:
        return 1 / math.tan(outside * math.pi / 2)
    if degrees == 2:
        return math.sqrt(2 / (outside * (2 - outside)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * outside) ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(outside / 2)
        if degrees < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        square = x * x
        y = (((((0.4 * square + 6.3) * square + 36) * square + 94.5) / c - square - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
        ) * (n + 1) / (n + 2) + 1 / y
    return math.sqrt(n * y)
