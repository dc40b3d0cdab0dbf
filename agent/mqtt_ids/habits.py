"""What is normal for a client, in figures and in words."""

import math
from typing import Final

import msgspec

from mqtt_ids.reasons import figure

DAY: Final = 86_400.0
STEADY: Final = 0.25  # mean deviation of an interval, as a part of it, that is a rhythm
FEWEST_CONNECTS: Final = 3.0  # before they are a habit
RHYTHM_GAPS: Final = 20  # intervals before a rhythm is known

_SPANS: Final = (("day", DAY), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """What is normal for one client.

    `publishes`, `connects`, `subscriptions` and `pings` are per second. `every` is the interval of
    its publishes in seconds, where they have a rhythm; `topics` how many it has used, `size` the
    mean payload in bytes. `known` is for how many seconds it has been known, `share` how much of a
    day of calm is behind all this (0..1). `earned` tells whether it may be compared with.
    """

    publishes: float
    every: float | None
    topics: int
    size: float | None
    connects: float
    subscriptions: float
    pings: float
    known: float
    share: float
    earned: bool


def words(habit: Habit) -> str:
    """A habit as a sentence: publishes 2 topics every 60 s, about 24 bytes, since 3 days."""
    if not habit.earned:
        return f"not known yet, here since {span(habit.known)}"
    return ", ".join([*_publishes(habit), *_besides(habit), f"since {span(habit.known)}"])


def span(seconds: float) -> str:
    """A length of time in its largest unit: 3 days, 1 hour."""
    for unit, size in _SPANS:
        if seconds >= size:
            count = math.floor(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "a moment"


def _publishes(habit: Habit) -> list[str]:
    if habit.publishes * DAY < 0.5 or not habit.topics:  # noqa: PLR2004 - less than once in a day
        return ["publishes nothing"]
    topics = f"{habit.topics} topic{'' if habit.topics == 1 else 's'}"
    if habit.every is None:
        said = f"publishes {often(habit.publishes)} on {topics}"
    else:
        said = f"publishes {topics} every {figure(habit.every)} s"
    return [said] if habit.size is None else [said, f"about {habit.size:.0f} bytes"]


def _besides(habit: Habit) -> list[str]:
    more = []
    if habit.publishes * DAY < 0.5 and habit.pings:  # noqa: PLR2004 - as above
        more.append(f"pings {often(habit.pings)}")
    if habit.connects * DAY * habit.share >= FEWEST_CONNECTS:
        more.append(f"connects {often(habit.connects)}")
    return more


def often(rate: float) -> str:
    """A rate per second in words: 3 times an hour."""
    for unit, size in reversed(_SPANS):
        if rate * size >= 1.0 or unit == "day":
            article = "an" if unit == "hour" else "a"
            times = round(rate * size)
            return f"{'once' if times == 1 else f'{times} times'} {article} {unit}"
    raise AssertionError("a day is the longest span")
