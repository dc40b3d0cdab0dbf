"""Scores over time, per subject, as multiples of the threshold: few enough to be drawn."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.views import Judged

MOST_POINTS: Final = 2_000  # of one subject; beyond, two become one, the higher
MOST_SUBJECTS: Final = 256  # whose highest score is highest
SHORTEST: Final = 1e-3  # seconds that a step lasts
LEAST: Final = 1e-4  # of the threshold; less is drawn as this


class Curve:
    """One subject's scores: the highest in each step of time, in multiples of the threshold."""

    __slots__ = ("name", "ratios", "step", "times", "top")

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: list[float] = []
        self.ratios: list[float] = []
        self.top = 0.0
        self.step = 0.0

    def add(self, time: float, ratio: float) -> None:
        """Take in a score."""
        self.top = max(self.top, ratio)
        if self.times and time - self.times[-1] < self.step:
            self.ratios[-1] = max(self.ratios[-1], ratio)
            return
        self.times.append(time)
        self.ratios.append(ratio)
        if len(self.times) > MOST_POINTS:
            self._thin()

    def _thin(self) -> None:
        """Half as many points, in steps twice as long."""
        span = self.times[-1] - self.times[0]
        self.step = max(2.0 * self.step, 2.0 * span / MOST_POINTS, SHORTEST)
        times, ratios = self.times, self.ratios
        self.times, self.ratios = [], []
        for time, ratio in zip(times, ratios, strict=True):
            self.add(time, ratio)


class Curves:
    """The curves of the subjects with the highest scores; bounded."""

    def __init__(self) -> None:
        self._curves: dict[str, Curve] = {}

    def see(self, judged: Judged) -> None:
        """Take in one round of judging."""
        ratios = np.maximum(judged.scores / judged.thresholds, LEAST).tolist()
        subjects: Sequence[ClientSubject | HostSubject] = judged.batch.subjects
        for subject, ratio in zip(subjects, ratios, strict=True):
            name = _name(subject)
            curve = self._curves.get(name)
            if curve is None:
                curve = self._curves[name] = Curve(name)
            curve.add(judged.time, ratio)
        if len(self._curves) > 2 * MOST_SUBJECTS:
            self._curves = {curve.name: curve for curve in self.highest(MOST_SUBJECTS)}

    def clear(self) -> None:
        """Forget all."""
        self._curves = {}

    def highest(self, most: int) -> Sequence[Curve]:
        """The subjects with the highest scores, the highest first."""
        return sorted(self._curves.values(), key=lambda curve: -curve.top)[:most]


def _name(subject: ClientSubject | HostSubject) -> str:
    if isinstance(subject, ClientSubject):
        return f"client {subject.id}"
    return f"host {subject.address}"
