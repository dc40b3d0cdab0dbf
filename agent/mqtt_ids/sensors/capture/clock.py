"""The clock of a capture: the times of frames as seconds that never go back."""

import math
from bisect import bisect_right
from typing import Final

STEP_BACK: Final = 1.0  # seconds; less is mere disorder of frames
MOST_STEPS: Final = 1_024  # steps back that are remembered


class Clock:
    """Time goes on where the capture's clock was put back; `wall` tells what that clock said."""

    __slots__ = ("_shift", "_shifts", "_starts", "now")

    def __init__(self) -> None:
        self.now = -math.inf
        self._shift = 0.0
        self._starts: list[float] = []  # since when, of our time
        self._shifts: list[float] = []  # by how much we are ahead of the capture

    def advance(self, time: float) -> float:
        """The time of a frame, both in seconds."""
        now = time + self._shift
        if now < self.now:
            if self.now - now < STEP_BACK:
                return self.now
            self._shift = self.now - time
            self._starts.append(self.now)
            self._shifts.append(self._shift)
            if len(self._starts) > MOST_STEPS:
                del self._starts[0], self._shifts[0]
            return self.now
        self.now = now
        return now

    def wall(self, time: float) -> float:
        """What the capture's clock said at `time`."""
        at = bisect_right(self._starts, time)
        return time - self._shifts[at - 1] if at else time
