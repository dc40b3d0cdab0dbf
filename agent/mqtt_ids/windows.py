"""Fading windows: counters that decay, so that a rate exists at any moment.

A counter with half-life h that is fed at a steady rate r settles at r * h / ln 2. There is no
window boundary to hide behind, and a subject costs the same however much it sends.
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

HALF_LIVES: tuple[float, ...] = (2.0, 10.0, 60.0, 600.0)  # seconds

T = TypeVar("T", bound=np.generic)

Rows = NDArray[np.intp]
Floats = NDArray[np.float32]

_MINUS_HALF_LIVES = -np.array(HALF_LIVES)
_FIRST_ROWS = 16


def weight(half_life: float) -> float:
    """Seconds that a fading window of `half_life` seconds covers: its integral, h / ln 2."""
    return half_life / math.log(2.0)


class Windows:
    """Fading counters of many subjects: rows x counters x half-lives, in one array."""

    def __init__(self, counters: int) -> None:
        self._counts = np.zeros((_FIRST_ROWS, counters, len(HALF_LIVES)), np.float32)
        self._at = np.zeros(_FIRST_ROWS)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return self._counts.nbytes + self._at.nbytes

    def start(self, row: int, now: float) -> None:
        """Make `row` a new subject with empty counters; the arrays grow as needed."""
        self._counts = grown(self._counts, row)
        self._at = grown(self._at, row)
        self._counts[row] = 0.0
        self._at[row] = now

    def add(self, rows: Rows, amounts: Floats, now: float) -> None:
        """Count `amounts` (rows x counters) as having happened at `now`."""
        self.add_and_read(rows, amounts, now)

    def add_and_read(self, rows: Rows, amounts: Floats, now: float) -> Floats:
        """Count `amounts` for the first of `rows`, and read all: in the time of either."""
        counts = self.read(rows, now)
        added = len(amounts)
        if added:
            counts[:added] += amounts[:, :, None]
            self._counts[rows[:added]] = counts[:added]
            self._at[rows[:added]] = now
        return counts

    def read(self, rows: Rows, now: float) -> Floats:
        """The counters at `now`: rows x counters x half-lives. Never negative."""
        age = np.maximum(now - self._at[rows], 0.0)
        fade = np.exp2(age[:, None] / _MINUS_HALF_LIVES).astype(np.float32)
        faded = self._counts.take(rows, axis=0)
        faded *= fade[:, None, :]
        return faded


def grown(array: NDArray[T], row: int) -> NDArray[T]:
    """`array`, or a copy that has `row` as well: an eighth longer, zeros behind.

    Doubling would leave nearly half of the rows idle at the worst moment, when memory is scarce.
    """
    length = len(array)
    if row < length:
        return array
    while length <= row:
        length += max(length // 8, _FIRST_ROWS)
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
