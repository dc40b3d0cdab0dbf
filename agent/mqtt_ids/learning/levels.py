"""At which threshold calm would just have raised an alarm, persistence included.

A score is not an alarm: evidence has to persist. So thresholds are not set on scores but on
firing levels: per cluster of a subject's scores, the highest threshold with which the verdict
would have been an attack.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.verdicts import (
    AT_ONCE,
    ENOUGH,
    ENOUGH_SLOW,
    HALF_LIFE,
    LEAST_PER_SLOW,
    MOST_PER_SCORE,
    MOST_PER_SLOW,
    RISES,
    SLOW_EVERY,
    SLOW_HALF_LIFE,
)
from mqtt_ids.windows import Floats
from mqtt_ids_model import peaks_over_threshold

MARGIN: Final = 1.5  # times a level: other homes, and other days, differ more than was seen
BUDGET: Final = 0.2  # incidents per home and week and mask class
BASE_QUANTILE: Final = 0.9  # of the firing levels of calm clusters
GAP: Final = 600.0  # seconds of lower scores that part two clusters
FLOOR: Final = 20.0  # clusters begin above the highest score divided by this
_STEPS: Final = 24  # halvings of the search interval

Doubles = NDArray[np.float64]


def firing_levels(times: Doubles, scores: Floats, subjects: NDArray[np.int64]) -> Doubles:
    """The firing level of each cluster; the arrays (n,) run in parallel, in any order.

    Scores too low to matter (below the highest one / FLOOR) belong to no cluster.
    """
    levels = [_level(when, values) for when, values in _clusters(times, scores, subjects)]
    return np.array(levels)


def within_budget(levels: Doubles, weeks: float) -> float:
    """The threshold that what was calm for so many weeks passes as often as the budget allows.

    `levels` are the firing levels of one mask class. MARGIN is in it.
    """
    base = float(np.quantile(levels, BASE_QUANTILE))
    peaks = levels[levels > base]
    return MARGIN * peaks_over_threshold(peaks, base=base, exposure=weeks, budget=BUDGET)


def fires(threshold: float, times: Doubles, scores: Doubles) -> bool:
    """Whether these scores of one subject, in time order, would be judged an attack."""
    if (scores >= AT_ONCE * threshold).any():
        return True
    signs = np.clip(np.log2(scores / threshold), 0.0, MOST_PER_SCORE)
    odd = np.flatnonzero(signs)
    if not len(odd):
        return False
    rises = np.concatenate([[True], scores[1:] >= RISES * scores[:-1]]) & (signs >= LEAST_PER_SLOW)
    evidence = slow = 0.0
    last = float(times[odd[0]])
    slow_at = last - SLOW_EVERY
    for time, sign, back in zip(
        times[odd].tolist(), signs[odd].tolist(), rises[odd].tolist(), strict=True
    ):
        evidence = evidence * 2.0 ** ((last - time) / HALF_LIFE) + sign
        last = time
        if back and time - slow_at >= SLOW_EVERY:
            slow = slow * 2.0 ** ((slow_at - time) / SLOW_HALF_LIFE) + min(sign, MOST_PER_SLOW)
            slow_at = time
            if slow >= ENOUGH_SLOW:
                return True
        if evidence >= ENOUGH:
            return True
    return False


def _level(times: Doubles, scores: Doubles) -> float:
    low, high = float(scores.max()) / AT_ONCE, float(scores.max())
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if fires(middle, times, scores) else (low, middle)
    return low


def _clusters(
    times: Doubles, scores: Floats, subjects: NDArray[np.int64]
) -> Iterator[tuple[Doubles, Doubles]]:
    high = scores > scores.max() / FLOOR
    when, values, whose = times[high], scores[high].astype(np.float64), subjects[high]
    order = np.lexsort((when, whose))
    when, values, whose = when[order], values[order], whose[order]
    parts = np.flatnonzero((np.diff(when) > GAP) | (whose[1:] != whose[:-1])) + 1
    yield from zip(np.split(when, parts), np.split(values, parts), strict=True)
