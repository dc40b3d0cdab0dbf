"""Intervals and averages for trials. All intervals are of 95 %.

scipy is imported where it is used: it is in the extra `evaluate`.
"""

import math
import statistics
from collections.abc import Iterable
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
WEEK: Final = 604_800.0  # seconds


class Interval(NamedTuple):
    """From `low` to `high`, in the unit of what was estimated."""

    low: float
    high: float


class Times(NamedTuple):
    """How soon something was found in `trials` of which `found` found it at all.

    `median` is over all trials, one that never found it counting as later than any other: it is
    None where half of them never did. `worst` is the latest of those that did.
    """

    trials: int
    found: int
    median: float | None
    worst: float | None


def share(count: int, trials: int) -> Interval:
    """Wilson's score interval for a share of which `count` of `trials` are known.

    It does not shrink to nothing at 0 or 1. Raises ValueError without a trial.
    (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927.)
    """
    from scipy.stats import binomtest  # noqa: PLC0415 - an extra

    interval = binomtest(count, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def rate(count: int, exposure: float) -> Interval:
    """The exact interval for a Poisson rate: `count` events in `exposure` units of time.

    It covers the rate in 95 % of cases or more. Raises ValueError without exposure.
    (F. Garwood, Biometrika 28, 1936.)
    """
    from scipy.stats import chi2  # noqa: PLC0415 - an extra

    if exposure <= 0.0:
        raise ValueError("a rate needs a time in which to count")
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(chi2.ppf(tail, 2 * count)) / 2.0 if count else 0.0
    high = float(chi2.ppf(1.0 - tail, 2 * count + 2)) / 2.0
    return Interval(low / exposure, high / exposure)


def times(after: Iterable[float | None]) -> Times:
    """Median and worst of the times at which something was found, None where it never was.

    Raises ValueError without a trial.
    """
    every = [math.inf if time is None else time for time in after]
    found = [time for time in every if time < math.inf]
    median = statistics.median(every)
    return Times(
        trials=len(every),
        found=len(found),
        median=median if median < math.inf else None,
        worst=max(found, default=None),
    )
