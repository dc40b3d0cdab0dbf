"""A part of a capture that is known to be calm: where its scores would have raised an alarm.

Thresholds are set as the lab sets them, on firing levels with a margin, but for this home alone.
A few minutes say little, and may not have been calm: no threshold is moved far.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from mqtt_ids.errors import TrainingError
from mqtt_ids.feature_table import Role
from mqtt_ids.learning.levels import MARGIN, firing_levels
from mqtt_ids.mask_classes import mask_class
from mqtt_ids.readers import spell
from mqtt_ids.views import Judged

LEAST_CALM: Final = 900.0  # seconds: before that nobody has a normal of their own
QUIET: Final = 60.0  # seconds of them in which nothing need have happened
LOWEST: Final = 0.75  # of the shipped threshold; at half of it, calm homes raise alarms
HIGHEST: Final = 3.0
MOST_SCORES: Final = 500_000  # of a mask class; far fewer matter in what is calm


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What a calm part of `length` seconds taught: the thresholds by mask class.

    `factors` are those of the shipped ones; None where too little was seen to move one.
    """

    length: float
    thresholds: dict[str, float]
    factors: dict[str, float | None]

    def in_words(self) -> str:
        """What has changed, as a clause."""
        alike: dict[str, list[str]] = {}
        for mask, factor in self.factors.items():
            if factor is not None:
                alike.setdefault(f"{factor:.2g}", []).append(_whom(mask))
        if not alike:
            return "no threshold has changed"
        said = [f"{factor} times for {' and '.join(whom)}" for factor, whom in alike.items()]
        return f"thresholds against the shipped ones: {', '.join(said)}"


class _Scores:
    """The scores of one mask class that matter."""

    def __init__(self, shipped: float) -> None:
        self.shipped = shipped
        self.first: float | None = None
        self.last = 0.0
        self.times: list[float] = []
        self.scores: list[float] = []
        self.rows: list[int] = []

    def take(self, judged: Judged, here: np.ndarray) -> None:
        """Keep of the rows `here` what can move the threshold."""
        self.first = judged.time if self.first is None else self.first
        self.last = judged.time
        if len(self.scores) >= MOST_SCORES:
            return
        # Lower ones raise no firing level above that of the lowest threshold there may be.
        for place in np.flatnonzero(here & (judged.scores > self.shipped * LOWEST / MARGIN)):
            self.times.append(judged.time)
            self.scores.append(float(judged.scores[place]))
            self.rows.append(judged.batch.subjects[place].row)

    def factor(self) -> float | None:
        """By how much the shipped threshold is multiplied; None where too little was seen."""
        if self.first is None or self.last - self.first < LEAST_CALM - QUIET:
            return None
        if not self.scores:
            return LOWEST
        levels = firing_levels(
            np.array(self.times), np.array(self.scores, np.float32), np.array(self.rows, np.int64)
        )
        return float(np.clip(MARGIN * levels.max() / self.shipped, LOWEST, HIGHEST))


class CalmPart:
    """Takes in the rounds of judging of a calm part, and gives the thresholds for what follows."""

    def __init__(self, shipped: Mapping[str, float]) -> None:
        self._shipped = shipped
        self._classes = {mask: _Scores(threshold) for mask, threshold in shipped.items()}
        self._first: float | None = None
        self._last = 0.0

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return 0.0 if self._first is None else self._last - self._first

    def see(self, judged: Judged) -> None:
        """Take in one round."""
        self._first = judged.time if self._first is None else self._first
        self._last = judged.time
        earned = judged.batch.state.earned
        for has_normal in (False, True):
            here = earned == has_normal
            if here.any():
                mask = mask_class(judged.batch.role, earned=has_normal)
                self._classes[mask].take(judged, here)

    def lesson(self) -> Lesson:
        """What it taught. Raises TrainingError where it was too short."""
        if self.length < LEAST_CALM - QUIET:
            raise TrainingError(
                f"the calm part to learn from is {spell(round(self.length))} long; at least"
                f" {spell(LEAST_CALM)} are needed"
            )
        factors = {mask: each.factor() for mask, each in self._classes.items()}
        thresholds = {mask: value * (factors[mask] or 1.0) for mask, value in self._shipped.items()}
        return Lesson(length=self.length, thresholds=thresholds, factors=factors)


def _whom(mask: str) -> str:
    role, _, state = mask.partition("/")
    subject = "clients" if role == Role.CLIENT.value else "hosts"
    return f"{subject} with a normal" if state == "learned" else f"new {subject}"
