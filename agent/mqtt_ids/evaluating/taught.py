"""What the rivals are taught: calm homes of the training family, as the shipped model was.

The homes are the first 48 of the 480 that the model learned from, and the first 72 of the 120
that it was calibrated on; the short form has three of each. How eventful they are (every third one
three times as much), how long they are watched, what is kept of them, and how much an eventful week
counts, is the school's own.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from mqtt_ids.evaluating.rivals import Components, Counts, components, limits, reached
from mqtt_ids.lab import schooling
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.samples import sample
from mqtt_ids.learning.samples import Samples, joined

TRAIN: Final = 48  # homes of the 480 that the model learned from
CALIBRATE: Final = 72  # homes of the 120 that its thresholds were set by
# Of one home that components are taken from, so that busy ones do not rule.
MOST_ROWS: Final = 5_000
VERY_EVENTFUL: Final = 3.0  # times as eventful as the others is, as in the school,
VERY_OFTEN: Final = 3  # one home in so many


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One calm home to learn from, for `hours`; `calibrates` tells that thresholds are set by it.

    All homes of one kind are watched for the same hours, or else only while they start up.
    """

    seed: int
    hours: float
    calibrates: bool = False


class Studied(msgspec.Struct, frozen=True, kw_only=True):
    """What one lesson gave. `weeks` is how much calm it counts as.

    What the counters reached is asked of those that calibrate alone.
    """

    calibrates: bool
    samples: Samples
    reached: Counts
    weeks: float


class Taught(msgspec.Struct, frozen=True, kw_only=True):
    """What the rivals know."""

    limits: Counts  # of three counters
    components: Components


def lessons(*, short: bool) -> list[Lesson]:
    """The homes to learn from."""
    if short:
        few = slice(0, 3 * schooling.WATCHED, schooling.WATCHED)  # none only while it starts up
        taught, hours = schooling.TRAIN_HOMES[few], 0.6
        other, longer = schooling.CALIBRATION_HOMES[few], 0.6
    else:
        taught, hours = schooling.TRAIN_HOMES[:TRAIN], schooling.HOURS
        other, longer = schooling.CALIBRATION_HOMES[:CALIBRATE], schooling.CALIBRATION_HOURS
    return [Lesson(seed=seed, hours=_hours(seed, hours)) for seed in taught] + [
        Lesson(seed=seed, hours=_hours(seed, longer), calibrates=True) for seed in other
    ]


def study(lesson: Lesson) -> Studied:
    """Watch one home."""
    seed, duration = lesson.seed, 3600.0 * lesson.hours
    more = VERY_EVENTFUL if seed % VERY_OFTEN == 0 else 1.0
    eventful, keep, rare = schooling.TRAIN_EVENTFUL, schooling.KEPT, schooling.KEPT_RARE
    if lesson.calibrates:
        eventful, keep, rare = schooling.EVENTFUL, schooling.CALIBRATION_KEPT, 1.0
    samples = sample(
        seed, family="train", duration=duration, eventful=eventful * more, keep=keep, rare=rare
    )
    home = make_home(seed, family="train", eventful=schooling.EVENTFUL * more)
    start = float(np.random.default_rng(seed).uniform(0.0, schooling.WEEK))
    whole = lesson.calibrates and lesson.hours > schooling.START_HOURS
    counted = record(home, start=start, duration=duration) if lesson.calibrates else ()
    return Studied(
        calibrates=lesson.calibrates,
        samples=samples,
        reached=reached(counted),
        weeks=duration * schooling.EVENT_WEEKS / schooling.WEEK if whole else 0.0,
    )


def teach(studied: Iterable[Studied], seed: int = 0) -> Taught:
    """What the rivals make of all lessons. Raises ValueError with none to calibrate on."""
    studied = list(studied)
    rng = np.random.default_rng(seed)
    calm = joined(_some(one.samples, rng) for one in studied if not one.calibrates)
    other = [one for one in studied if one.calibrates]
    if not other:
        raise ValueError("no home to calibrate on")
    return Taught(
        limits=limits(one.reached for one in other),
        components=components(
            calm, joined(one.samples for one in other), sum(one.weeks for one in other)
        ),
    )


def _hours(seed: int, hours: float) -> float:
    """Most homes are only watched while they start up, as in the school."""
    return min(hours, schooling.START_HOURS) if seed % schooling.WATCHED else hours


def _some(samples: Samples, rng: np.random.Generator) -> Samples:
    return samples.at(np.sort(rng.permutation(len(samples))[:MOST_ROWS]))
