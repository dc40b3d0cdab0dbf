"""How much may be written: an SD card wears."""

from typing import Final

DAY: Final = 86_400.0  # seconds


class Allowance:
    """So many bytes a day, of which at most a burst may be saved up; there is one at the start."""

    def __init__(self, *, day: int, burst: int, now: float) -> None:
        self._rate = day / DAY
        self._burst = float(burst)
        self._left = self._burst
        self._at = now

    def left(self, now: float) -> float:
        """Bytes that may be written at `now`; 0 or less where there are none."""
        self._left = min(self._left + (now - self._at) * self._rate, self._burst)
        self._at = now
        return self._left

    def spend(self, count: int) -> bool:
        """So many were written. Whether there are any left."""
        self._left -= count
        return self._left > 0
