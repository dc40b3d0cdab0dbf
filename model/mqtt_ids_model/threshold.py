"""Where calm ends: the paper's mean + std, and peaks over threshold for a budget of incidents.

Peaks over threshold: what exceeds a high base level follows a generalised Pareto distribution
(Pickands, 1975), P(excess > y) = (1 + shape * y / scale) ** (-1 / shape). From the rate of peaks
and the fitted tail follows the level that is passed as often as the budget allows. One odd
minute must count once, so peaks are declustered per subject first.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mqtt_ids_model.arrays import Doubles

STEADY = (-0.5, 0.5)  # tail shapes for which the fit's variance is finite; beyond, a fallback
FEWEST_PEAKS = 10  # fewer say nothing about a shape


@dataclass(frozen=True, slots=True)
class Tail:
    """A generalised Pareto tail. `steady` is False where a fallback replaced the fitted shape."""

    shape: float
    scale: float
    steady: bool

    def excess(self, odds: float) -> float:
        """The excess over the base that a peak passes with probability `odds`, 0 < odds <= 1."""
        if self.shape == 0.0:
            return -self.scale * math.log(odds)
        return self.scale * math.expm1(-self.shape * math.log(odds)) / self.shape


def mean_std(scores: ArrayLike) -> float:
    """The paper's threshold (equation 3): mean plus standard deviation of calm scores.

    Raises ValueError where there are no scores or one is not finite.
    """
    values = _finite(scores)
    if not len(values):
        raise ValueError("no scores")
    return float(values.mean() + values.std())


def decluster(
    times: ArrayLike, scores: ArrayLike, subjects: ArrayLike, *, gap: float, base: float
) -> Doubles:
    """The highest score of each cluster above `base`; one value per cluster, in any order.

    A cluster is a subject's scores above `base`, each at most `gap` seconds after the one before.
    The three arrays (n,) run in parallel, in any order; `subjects` are numbers.
    """
    when, values = _finite(times), _finite(scores)
    whose = np.asarray(subjects)
    if not when.shape == values.shape == whose.shape:
        raise ValueError(f"{len(when)} times, {len(values)} scores, {len(whose)} subjects")
    high = values > base
    when, values, whose = when[high], values[high], whose[high]
    order = np.lexsort((when, whose))
    when, values, whose = when[order], values[order], whose[order]
    if not len(values):
        return values
    starts = (np.diff(when) > gap) | (whose[1:] != whose[:-1])
    return np.maximum.reduceat(values, np.flatnonzero(np.concatenate(([True], starts))))


def peaks_over_threshold(peaks: ArrayLike, *, base: float, exposure: float, budget: float) -> float:
    """The level that calm passes `budget` times per unit of exposure (say, per home and week).

    `peaks` are declustered maxima above `base` from `exposure` units of calm. Never below
    `base`, and never so low that these very peaks would break the budget, whatever the fit says.
    Raises ValueError for a peak at or below `base`, and for an exposure or budget not above 0.
    """
    values = np.sort(_finite(peaks))
    if len(values) and values[0] <= base:
        raise ValueError(f"a peak of {values[0]} is not above the base {base}")
    if not (exposure > 0.0 and budget > 0.0):
        raise ValueError(f"exposure {exposure} and budget {budget} must be above 0")
    allowed = math.floor(budget * exposure)
    if not len(values):
        return base
    seen = float(values[-1 - allowed]) if allowed < len(values) else base
    odds = budget * exposure / len(values)
    fitted = base + fit_tail(values - base).excess(odds) if odds < 1.0 else base
    return max(seen, fitted)


def fit_tail(excesses: ArrayLike) -> Tail:
    """Fit a generalised Pareto tail to excesses (n,) above 0, by probability-weighted moments.

    Hosking and Wallis (1987), whose k is minus our shape. Where the shape falls outside STEADY or
    there are fewer than FEWEST_PEAKS, the fit says more about the sample than about the tail:
    a shape above 0.5 becomes 0.5, anything else 0 (an exponential tail), with the scale that
    keeps the mean excess.
    """
    values = np.sort(_finite(excesses))
    if not len(values) or values[0] <= 0.0:
        raise ValueError("excesses must be above 0, and there must be one")
    mean = float(values.mean())
    ranks = (np.arange(1, len(values) + 1) - 0.35) / len(values)
    weighted = float((values * (1.0 - ranks)).mean())
    spread = mean - 2.0 * weighted
    if len(values) < FEWEST_PEAKS:
        return Tail(0.0, mean, steady=False)
    # spread <= 0: the excesses are as good as equal, the shortest tail there is
    shape = 2.0 - mean / spread if spread > 0.0 else -math.inf
    if STEADY[0] < shape < STEADY[1]:
        return Tail(shape, 2.0 * mean * weighted / spread, steady=True)
    if shape >= STEADY[1]:
        return Tail(STEADY[1], mean * (1.0 - STEADY[1]), steady=False)
    return Tail(0.0, mean, steady=False)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("a list of finite numbers is needed")
    return array
