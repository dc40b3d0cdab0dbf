"""Figures of an evaluation in words: never rounded to more than was measured."""

import math
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from mqtt_ids.evaluating.statistics import Interval, Times

NEVER: Final = "never"
_UNITS: Final = ((172_800.0, 86_400.0, "days"), (7_200.0, 3_600.0, "h"), (120.0, 60.0, "min"))


def seconds(time: float | None) -> str:
    """A time for people, in minutes from two on, and so forth; None is never."""
    if time is None:
        return NEVER
    larger = ((size, unit) for least, size, unit in _UNITS if time >= least)
    size, unit = next(larger, (1.0, "s"))
    value = time / size
    told = f"{value:.1f}".removesuffix(".0") if value < 10.0 else f"{value:.0f}"  # noqa: PLR2004 - two digits
    return f"{told} {unit}"


def percent(part: float) -> str:
    """A share in percent. Only all is 100 %, and only nothing 0 %."""
    for digits in range(1, 8):
        told = f"{100.0 * part:.{digits}f}"
        if part in {0.0, 1.0} or float(told) not in {0.0, 100.0}:
            break
    return f"{told.rstrip('0').rstrip('.')} %"


def figure(value: float) -> str:
    """A rate or a score: two digits that count, and none lost before the point."""
    if value == 0.0 or abs(value) >= 10.0:  # noqa: PLR2004 - two digits before the point
        return f"{value:,.0f}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(abs(value))))}f}"


def of(count: int, trials: int) -> str:
    """So many of so many."""
    return f"{count:,} of {trials:,}"


def many(number: int, what: str) -> str:
    """So many of a thing, in the plural where it is not one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shares(interval: Interval) -> str:
    """An interval of shares."""
    return f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"


def rates(interval: Interval) -> str:
    """An interval of rates."""
    return f"{figure(interval.low)} to {figure(interval.high)}"


def found(times: Times) -> str:
    """Median and worst, and how many never."""
    if not times.found:
        return NEVER
    told = f"{seconds(times.median)}, worst {seconds(times.worst)}"
    missed = times.trials - times.found
    return f"{told}, {missed} missed" if missed else told


def some(items: list[str], most: int = 3) -> str:
    """The first of a list, and how many more there are."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def runs(names: Iterable[str]) -> list[str]:
    """Names in order; those that differ only by numbers that follow each other become one."""
    numbered = {name: re.fullmatch(r"(.*?)(\d{1,9})", name) for name in names}
    keys = sorted((found[1], int(found[2])) for found in numbered.values() if found)
    told = []
    for (stem, _), group in groupby(
        enumerate(keys), lambda each: (each[1][0], each[1][1] - each[0])
    ):
        run = [number for _, (_, number) in group]
        last = f" to {run[-1]}" if len(run) > 1 else ""
        told.append(f"{stem}{run[0]}{last}")
    return told + sorted(name for name, found in numbered.items() if not found)
