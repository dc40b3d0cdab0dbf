"""The people of a home: when they are awake, out, or on holiday, and when the sun shines."""

import math
import random

import msgspec

DAY = 86_400.0
HOUR = 3_600.0
_NOON = 12.5


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """The habits of a household. Hours of the day are local; spreads are standard deviations."""

    wakes: float = 6.8
    sleeps: float = 23.0
    leaves: float = 8.2
    returns: float = 17.0
    spread: float = 0.6
    works_from_home: float = 0.3
    night_level: float = 0.04
    away_level: float = 0.1
    holiday_chance: float = 0.02
    day_length: float = 12.0


class _Day(msgspec.Struct, frozen=True, gc=False):
    wakes: float
    leaves: float
    returns: float
    sleeps: float


class Life:
    """How busy a home is at a time: `activity` by its people, `sun` by the sky, both 0..1.

    Each day is drawn by itself from the seed, so the answer does not depend on the order of
    the questions. Only the day asked for last is remembered.
    """

    def __init__(self, seed: str, rhythm: Rhythm) -> None:
        self._seed = seed
        self._rhythm = rhythm
        self._number = -1
        self._day = _Day(0.0, 0.0, 0.0, 0.0)
        self._cloud = 1.0

    def activity(self, time: float) -> float:
        """How much people do at `time` (seconds since a Monday's midnight)."""
        number, hour = int(time // DAY), time % DAY / HOUR
        if number != self._number:
            self._turn_to(number)
        day, rhythm = self._day, self._rhythm
        if hour < day.wakes or hour > day.sleeps:
            return rhythm.night_level
        if day.leaves < hour < day.returns:
            return rhythm.away_level
        return 1.0

    def sun(self, time: float) -> float:
        """How strongly the sun shines at `time`, 0 by night."""
        number, hour = int(time // DAY), time % DAY / HOUR
        if number != self._number:
            self._turn_to(number)
        angle = (hour - _NOON) / self._rhythm.day_length * math.pi
        return max(0.0, math.cos(angle)) * self._cloud if abs(angle) < math.pi / 2 else 0.0

    def night(self, time: float) -> float:
        """1 while the sun is down, else 0."""
        return 0.0 if self.sun(time) > 0.0 else 1.0

    def _turn_to(self, number: int) -> None:
        rng = random.Random(f"{self._seed}/day/{number}")
        habit = self._rhythm
        weekend = number % 7 >= 5  # noqa: PLR2004 - days 5 and 6 of a week that begins on Monday
        wakes = rng.gauss(habit.wakes + (1.5 if weekend else 0.0), habit.spread)
        sleeps = min(23.99, rng.gauss(habit.sleeps + (0.5 if weekend else 0.0), habit.spread))
        leaves = rng.gauss(habit.leaves + (2.0 if weekend else 0.0), habit.spread)
        returns = rng.gauss(habit.returns, 2 * habit.spread)
        if rng.random() < (0.5 if weekend else habit.works_from_home):
            leaves = returns = 24.0
        if rng.random() < habit.holiday_chance:
            wakes, leaves, returns = 0.0, 0.0, 24.0
        self._number = number
        self._day = _Day(wakes, leaves, returns, sleeps)
        self._cloud = rng.uniform(0.2, 1.0)
