"""When a client publishes what: periodic, sporadic, in episodes.

A habit is played as an iterator of (gap, steps): after `gap` seconds, counted from the last time,
do these steps (messages, with waits between them). Habits `aligned` to the wall clock move with
it when it is set: daylight saving, or a device whose own clock jumps. Sizes are drawn once per
topic into a handful of ready-made messages, so that a week of a home costs little.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from mqtt_ids.lab.actions import Clock, Publish, Step
from mqtt_ids.lab.life import DAY, Life

Turns = Iterator[tuple[float, tuple[Step, ...]]]
Follows = Literal["clock", "people", "sun", "night"]
_VARIANTS = 8
_LONGEST_JUMP = 3_600.0
_CATCHES_UP, _MOST_MISSED, _CATCH_UP_GAP = 0.3, 12, 0.05


class Habit(Protocol):
    """Something that a client does again and again."""

    def turns(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        """The (gap, steps) of this habit from `clock.now` on, without end."""
        ...


class Say:
    """A topic and the sizes of what is published on it, as ready-made messages."""

    __slots__ = ("pick", "topic")

    def __init__(
        self,
        topic: str,
        size: tuple[int, int],
        *,
        qos: int = 0,
        retain: bool = False,
        seed: random.Random,
    ) -> None:
        self.topic = topic
        low, high = size
        self.pick = [Publish(topic, seed.randint(low, high), qos, retain) for _ in range(_VARIANTS)]

    def once(self, rng: random.Random) -> Publish:
        """One message."""
        return self.pick[int(rng.random() * _VARIANTS)]


def burst(says: Sequence[Say], rng: random.Random, gap: float = 0.0) -> tuple[Step, ...]:
    """One message of each, `gap` seconds apart (a third more or less)."""
    if gap == 0.0:
        return tuple([say.once(rng) for say in says])
    steps: list[Step] = []
    for say in says:
        steps.append(say.once(rng))
        steps.append(gap * (0.67 + 0.66 * rng.random()))
    return tuple(steps[:-1])


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """Periodic: each `period` seconds, one message of each of `says`.

    `jitter` is the standard deviation of a gap as a share of the period. `aligned` publishes at
    whole multiples of the period on the wall clock; `jumps` is how often that clock is set by up
    to an hour (mean seconds between), as on a device that finds the time late. `first` is the
    wait for the first turn after the start or a power cut, drawn where None. `skips` is the share
    of turns without a message (nothing has changed). `one_of` publishes on one of the topics
    instead of all.
    """

    period: float
    says: tuple[Say, ...]
    jitter: float = 0.01
    aligned: bool = False
    jumps: float | None = None
    first: float | None = None
    skips: float = 0.0
    one_of: bool = False
    gap: float = 0.0
    follows: Follows = "clock"

    def turns(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        """See `Habit`."""
        if self.aligned:
            return self._by_the_clock(clock, life, rng)
        return self._turns(clock, life, rng)

    def _by_the_clock(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        """The same turns on a clock that is set now and then."""
        at, period = clock.now, self.period
        jump = at + rng.expovariate(1 / self.jumps) if self.jumps else math.inf
        turns = self._turns(clock, life, rng)
        for gap, steps in turns:
            moved = life.moved(at, at + gap)
            late: tuple[Step, ...] = ()
            if at + gap >= jump:
                moved += rng.choice((-1.0, 1.0)) * log_uniform(rng, 1.0, _LONGEST_JUMP)
                jump += rng.expovariate(1 / (self.jumps or math.inf))
                if moved > period and rng.random() < _CATCHES_UP:  # its timer runs what it missed
                    missed = itertools.islice(turns, min(_MOST_MISSED, int(moved // period)))
                    late = tuple(step for _, more in missed for step in (*more, _CATCH_UP_GAP))
            wait = gap - math.fmod(moved, period)
            if wait <= 0.0:
                wait += period
            at += wait
            yield wait, (*late, *steps)

    def _turns(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        period, says, skips, draw = self.period, self.says, self.skips, rng.random
        level = level_of(life, self.follows)
        if self.aligned:
            yield period - clock.now % period, ()
        else:
            yield (period * draw() if self.first is None else self.first), ()
        wobble = period * self.jitter * 3.46  # a uniform draw of this width has that deviation
        lone = says[0].pick if len(says) == 1 else None
        off = 0.0
        while True:
            new = wobble * (draw() - 0.5)
            gap = period + new - off if self.aligned else period + new
            off = new
            if skips and draw() < skips:
                steps: tuple[Step, ...] = ()
            elif level is not None and draw() > level(clock.now):
                steps = ()
            elif lone is not None:
                steps = (lone[int(draw() * _VARIANTS)],)
            elif self.one_of:
                steps = (says[int(draw() * len(says))].once(rng),)
            else:
                steps = burst(says, rng, self.gap)
            yield max(gap, period * 0.05), steps


class Sporadic(msgspec.Struct, frozen=True, kw_only=True):
    """At random, `per_day` times when at full level; `follows` says what sets the level.

    Each time one message of each of `says` (or of `one_of` them), repeated `repeats` (low, high)
    times `gap` seconds apart.
    """

    per_day: float
    says: tuple[Say, ...]
    follows: Follows = "people"
    one_of: bool = False
    repeats: tuple[int, int] = (1, 1)
    gap: float = 0.05

    def turns(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        """See `Habit`."""
        level = level_of(life, self.follows)
        pace = self.per_day / DAY
        low, high = self.repeats
        while True:
            gap = _next_gap(clock.now, pace, level, rng)
            says: Sequence[Say] = (rng.choice(self.says),) if self.one_of else self.says
            if high > 1:
                says = tuple(says) * rng.randint(low, high)
            yield gap, burst(says, rng, self.gap if len(says) > 1 else 0.0)


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """A while of activity, `per_day` times: a wash, a print, an update, motion before a camera.

    It lasts between `lasts` (seconds, low and high, drawn on a logarithmic scale); within it
    `during` is published each `period` seconds, `begins` and `ends` at its edges.
    """

    per_day: float
    lasts: tuple[float, float]
    period: float
    during: tuple[Say, ...]
    begins: tuple[Say, ...] = ()
    ends: tuple[Say, ...] = ()
    follows: Follows = "people"
    jitter: float = 0.2
    one_of: bool = False

    def turns(self, clock: Clock, life: Life, rng: random.Random) -> Turns:
        """See `Habit`."""
        level = level_of(life, self.follows)
        pace = self.per_day / DAY
        while True:
            yield _next_gap(clock.now, pace, level, rng), burst(self.begins, rng, 0.02)
            left = log_uniform(rng, *self.lasts)
            while left > 0.0:
                gap = self.period * (1.0 + self.jitter * 3.46 * (rng.random() - 0.5))
                left -= gap
                if self.one_of:
                    yield gap, (rng.choice(self.during).once(rng),)
                else:
                    yield gap, burst(self.during, rng)
            yield 0.1, burst(self.ends, rng, 0.02)


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    """A number between the two, as likely in each octave."""
    return float(low * (high / low) ** rng.random())


def level_of(life: Life, follows: Follows) -> Callable[[float], float] | None:
    """The 0..1 level over time that a habit follows; None where it is 1 always."""
    if follows == "people":
        return life.activity
    if follows == "sun":
        return life.sun
    if follows == "night":
        return life.night
    return None


def _next_gap(
    now: float, pace: float, level: Callable[[float], float] | None, rng: random.Random
) -> float:
    """Seconds to the next point of a Poisson process whose rate is `pace` times the level."""
    gap = rng.expovariate(pace)
    while level is not None and rng.random() > level(now + gap):
        gap += rng.expovariate(pace)
    return gap
