"""How scores are spread: counts of every vector, by its score in thresholds; and the ROC of two.

Single vectors say less than incidents do, for evidence has to persist. But a ROC needs no
threshold, so it shows what lies in the scores alone.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.evaluating.results import Roc

LOWEST: Final = -16  # doublings of the threshold; lower scores are counted here
HIGHEST: Final = 16
PER_DOUBLING: Final = 16  # bins
MOST_POINTS: Final = 200  # of a ROC
_WAITING: Final = 4096  # ratios that are counted at once

Bins = NDArray[np.float64]  # vectors by their score, the lowest first; or shares of them


class Spread:
    """Counts vectors by their score in thresholds. What is added is counted in batches."""

    def __init__(self) -> None:
        self._bins = np.zeros((HIGHEST - LOWEST) * PER_DOUBLING, np.float64)
        self._parts: list[NDArray[np.floating]] = []
        self._waiting = 0
        self._highest = 0.0
        self._above = 0

    def add(self, ratios: NDArray[np.floating]) -> None:
        """Count vectors of these scores in thresholds. The array is kept for a while."""
        self._parts.append(ratios)
        self._waiting += len(ratios)
        if self._waiting >= _WAITING:
            self._count()

    @property
    def bins(self) -> Bins:
        """How many vectors in each bin."""
        self._count()
        return self._bins

    @property
    def highest(self) -> float:
        """The highest score in thresholds; 0 where none was added."""
        self._count()
        return self._highest

    @property
    def above(self) -> int:
        """How many were above their threshold."""
        self._count()
        return self._above

    @property
    def vectors(self) -> int:
        """How many were added."""
        return int(self.bins.sum())

    def _count(self) -> None:
        if not self._waiting:
            return
        ratios = np.concatenate(self._parts)
        self._parts, self._waiting = [], 0
        doublings = np.log2(np.maximum(ratios, 2.0**LOWEST))
        places = ((doublings - LOWEST) * PER_DOUBLING).astype(np.intp)
        last = len(self._bins) - 1
        self._bins += np.bincount(np.minimum(places, last), minlength=last + 1)
        self._highest = max(self._highest, float(ratios.max()))
        self._above += int((ratios > 1.0).sum())


def joined(each: Sequence[Bins]) -> Bins:
    """Several spreads as one."""
    total: Bins = np.sum(each, axis=0, dtype=np.float64)
    return total


def alike(bins: Bins) -> Bins:
    """The same spread, which must not be empty, as shares of one."""
    shares: Bins = bins / bins.sum()
    return shares


def roc(method: str, calm: Bins, attacks: Bins) -> Roc:
    """True against false positive rates as the threshold falls. Raises ValueError without either.

    Vectors in one bin count as equal: that is a 23rd of their score.
    """
    from sklearn.metrics import auc, roc_curve  # noqa: PLC0415 - only the extra brings it

    if not calm.any() or not attacks.any():
        raise ValueError("a ROC needs vectors of calm and of attacks")
    bins = np.arange(len(calm))
    truth = np.concatenate([np.zeros(len(bins)), np.ones(len(bins))])
    false, true, _ = roc_curve(
        truth, np.concatenate([bins, bins]), sample_weight=np.concatenate([calm, attacks])
    )
    picked = np.unique(np.linspace(0, len(false) - 1, MOST_POINTS).astype(int))
    return Roc(
        method=method,
        false=tuple(false[picked].tolist()),
        true=tuple(true[picked].tolist()),
        area=float(auc(false, true)),
    )
