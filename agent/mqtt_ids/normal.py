"""A subject's own normal: its long-run rates, held back from what is odd.

Counts are collected in slots of ten minutes. A slot enters the normal one slot later, and only
if its subject stayed calm throughout both: an attack cannot excuse itself, nor teach. The
normal fades with a half-life of a day.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.windows import Floats, Rows, grown

HALF_LIFE = 86_400.0  # seconds
SLOT = 600.0  # seconds
EARNED_AFTER = 900.0  # seconds of calm before a normal may be compared with
EARNED_EVENTS = 5.0  # events in the normal before it may be compared with

_FADE = 2.0 ** (-SLOT / HALF_LIFE)
_FIRST_ROWS = 16


class Normal:
    """Long-run rates of many subjects: rows x counters, per second."""

    def __init__(self, counters: int, events: tuple[int, ...]) -> None:
        """`events`: which counters count events; the others (bytes) earn no normal."""
        shape = (_FIRST_ROWS, counters)
        self._events = np.array(events, np.intp)
        self._total = np.zeros(shape, np.float32)
        self._waiting = np.zeros(shape, np.float32)
        self._slot = np.zeros(shape, np.float32)
        # Seconds of calm behind each of the three, and whether the slots saw something odd.
        self._seconds = np.zeros((_FIRST_ROWS, 3), np.float32)
        self._odd = np.zeros((_FIRST_ROWS, 2), bool)
        self._since = np.zeros(_FIRST_ROWS)
        self._earned = np.zeros(_FIRST_ROWS, bool)  # as of the last turn: nothing else changes it

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        arrays = (self._total, self._waiting, self._slot, self._seconds, self._odd, self._since)
        return sum(array.nbytes for array in arrays)

    def start(self, row: int, now: float) -> None:
        """Make `row` a new subject that has no normal yet."""
        for name in ("_total", "_waiting", "_slot", "_seconds", "_odd", "_since", "_earned"):
            array = grown(getattr(self, name), row)
            array[row] = 0
            setattr(self, name, array)
        self._since[row] = now

    def add(self, rows: Rows, amounts: Floats) -> None:
        """Count `amounts` (rows x counters) in the running slot."""
        self._slot[rows] = self._slot.take(rows, axis=0) + amounts

    def taint(self, rows: Rows) -> None:
        """Keep the running slot of `rows` out of their normal: something odd happened in it."""
        self._odd[rows, 0] = True

    def turn(self, now: float) -> None:
        """End the running slot of every row; call it every `SLOT` seconds."""
        slot_seconds = np.clip(now - self._since, 0.0, SLOT).astype(np.float32)
        calm = ~self._odd.any(axis=1)
        self._total *= _FADE
        self._seconds[:, 0] *= _FADE
        self._total[calm] += self._waiting[calm]
        self._seconds[calm, 0] += self._seconds[calm, 1]
        self._waiting, self._slot = self._slot, self._waiting
        self._slot[:] = 0.0
        self._seconds[:, 1] = slot_seconds
        self._odd[:, 1] = self._odd[:, 0]
        self._odd[:, 0] = False
        self._since[:] = now
        self._earn()

    def _earn(self) -> None:
        events = self._total[:, self._events].sum(axis=1)
        self._earned = (self._seconds[:, 0] >= EARNED_AFTER) & (events >= EARNED_EVENTS)

    def taken(self, rows: Rows, now: float) -> dict[str, NDArray[Any]]:
        """Copies of all that is known of `rows`; times as seconds before `now`."""
        return {
            "total": self._total.take(rows, axis=0),
            "waiting": self._waiting.take(rows, axis=0),
            "slot": self._slot.take(rows, axis=0),
            "seconds": self._seconds.take(rows, axis=0),
            "odd": self._odd.take(rows, axis=0),
            "slot_age": (now - self._since[rows]).astype(np.float32),
        }

    def put_back(self, rows: Rows, known: dict[str, NDArray[Any]], now: float) -> None:
        """Know of `rows`, which were started, what `taken` gave; their slots go on at `now`."""
        self._total[rows] = known["total"]
        self._waiting[rows] = known["waiting"]
        self._slot[rows] = known["slot"]
        self._seconds[rows] = known["seconds"]
        self._odd[rows] = known["odd"]
        self._since[rows] = now - known["slot_age"].astype(np.float64)
        self._earn()

    def calm_seconds(self, rows: Rows) -> Floats:
        """Seconds of calm behind the normals of `rows`; they fade with the normals."""
        return self._seconds[:, 0][rows]

    def rates(self, rows: Rows) -> Floats:
        """Usual events per second: rows x counters; 0 where nothing was learned."""
        seconds = np.maximum(self._seconds[:, 0][rows], 1.0)
        rates = self._total.take(rows, axis=0)
        rates /= seconds[:, None]
        return rates

    def earned(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows have a normal worth comparing with."""
        earned: NDArray[np.bool_] = self._earned[rows]
        return earned
