"""The people of a home: when they are awake, out, or on holiday, and when the sun shines."""

import math
import random

import msgspec

DAY = 86_400.0
HOUR = 3_600.0
_NOON = 12.5
_KNOWN_DAYS = 64


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """The habits of a household. Hours of the day are local; spreads are standard deviations.

    `holiday_chance` is that of leaving for `holiday_days` (fewest, most) on any day. At
    `clock_changes` (seconds since a Monday's midnight; None: never) clocks go on by `clock_moves`
    seconds, or back.
    """

    wakes: float = 6.8
    sleeps: float = 23.0
    leaves: float = 8.2
    returns: float = 17.0
    spread: float = 0.6
    works_from_home: float = 0.3
    night_level: float = 0.04
    away_level: float = 0.1
    holiday_chance: float = 0.02
    holiday_days: tuple[int, int] = (1, 1)
    day_length: float = 12.0
    clock_changes: float | None = None
    clock_moves: float = HOUR


class _Day(msgspec.Struct, frozen=True, gc=False):
    wakes: float
    leaves: float
    returns: float
    sleeps: float
    cloud: float


class Life:
    """How busy a home is at a time: `activity` by its people, `sun` by the sky, both 0..1.

    Each day is drawn by itself from the seed, so the answer does not depend on the order of
    the questions. The people follow the clock through daylight saving, the sun does not.
    """

    def __init__(self, seed: str, rhythm: Rhythm) -> None:
        self._seed = seed
        self.rhythm = rhythm
        self._change = math.inf if rhythm.clock_changes is None else rhythm.clock_changes
        self._days: dict[int, _Day] = {}

    def activity(self, time: float) -> float:
        """How much people do at `time` (seconds since a Monday's midnight)."""
        rhythm = self.rhythm
        if time >= self._change:
            time += rhythm.clock_moves
        number, hour = int(time // DAY), time % DAY / HOUR
        day = self._days.get(number) or self._draw(number)
        if hour < day.wakes or hour > day.sleeps:
            return rhythm.night_level
        if day.leaves < hour < day.returns:
            return rhythm.away_level
        return 1.0

    def sun(self, time: float) -> float:
        """How strongly the sun shines at `time`, 0 by night."""
        number, hour = int(time // DAY), time % DAY / HOUR
        day = self._days.get(number) or self._draw(number)
        angle = (hour - _NOON) / self.rhythm.day_length * math.pi
        return max(0.0, math.cos(angle)) * day.cloud if abs(angle) < math.pi / 2 else 0.0

    def night(self, time: float) -> float:
        """1 while the sun is down, else 0."""
        return 0.0 if self.sun(time) > 0.0 else 1.0

    def moved(self, since: float, until: float) -> float:
        """By how many seconds the home's clocks were moved in between, by daylight saving."""
        return self.rhythm.clock_moves if since < self._change <= until else 0.0

    def _draw(self, number: int) -> _Day:
        rng = random.Random(f"{self._seed}/day/{number}")
        habit = self.rhythm
        weekend = number % 7 >= 5  # noqa: PLR2004 - days 5 and 6 of a week that begins on Monday
        wakes = rng.gauss(habit.wakes + (1.5 if weekend else 0.0), habit.spread)
        sleeps = min(23.99, rng.gauss(habit.sleeps + (0.5 if weekend else 0.0), habit.spread))
        leaves = rng.gauss(habit.leaves + (2.0 if weekend else 0.0), habit.spread)
        returns = rng.gauss(habit.returns, 2 * habit.spread)
        if rng.random() < (0.5 if weekend else habit.works_from_home):
            leaves = returns = 24.0
        if self.on_holiday(number):
            wakes, leaves, returns = 0.0, 0.0, 24.0
        if len(self._days) >= _KNOWN_DAYS:
            self._days.clear()
        day = self._days[number] = _Day(wakes, leaves, returns, sleeps, rng.uniform(0.2, 1.0))
        return day

    def on_holiday(self, number: int) -> bool:
        """Whether its people are away for all of this day (0: the first Monday)."""
        habit = self.rhythm
        for gone in range(habit.holiday_days[1]):
            rng = random.Random(f"{self._seed}/holiday/{number - gone}")
            if rng.random() < habit.holiday_chance and rng.randint(*habit.holiday_days) > gone:
                return True
        return False
