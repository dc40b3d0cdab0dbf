"""What one's own captures hold to learn from: vectors of calm, and what was no calm.

The events run through a detector with the shipped model, so that the vectors are those that a
detector will meet: what is odd stays out of the normals.
"""

import math
from array import array
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.errors import TrainingError
from mqtt_ids.events import AnyEvent, Sees
from mqtt_ids.learning.samples import Samples, joined, kept
from mqtt_ids.views import Judged
from mqtt_ids_model import Model

MOST_ROWS: Final = 200_000  # vectors in memory at once, of about 500 bytes
MAX_CLIENTS: Final = 5000
TICKS_IN_A_GAP: Final = 900  # seconds without an event after which the clock jumps to the next
HELD_OUT: Final = 0.25  # of the time, its end
KEPT, KEPT_RARE = 0.25, 1.0  # of all vectors, and of the notable ones

_TICK: Final = 1.0  # seconds
_MARK: Final = 60  # ticks from one noted time to the next
_PARTS: Final = 1000  # small collections that are held before they become one


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that the model opened, and how many seconds after the first event."""

    after: float
    alert: Alert


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors of calm, parted by time. Durations are in s and leave out long gaps.

    `findings` are incidents above info: what is no calm.
    """

    learned: Samples
    held_out: Samples
    duration: float
    held_out_duration: float
    events: int
    clients: int
    addresses: int
    findings: tuple[Finding, ...]


class Gatherer:
    """Gathers vectors from events; `material` is what they gave.

    Beyond MOST_ROWS every other vector goes, and fewer are taken from then on.
    """

    def __init__(self, model: Model, *, sees: Sees, seed: int) -> None:
        self._detector = Detector(model, sees=sees, max_clients=MAX_CLIENTS, judged=self._take)
        self._rng = np.random.default_rng(seed)
        self._parts: list[Samples] = []
        self._rows = 0
        self._share = 1.0
        self._ticks = 0
        self._marks = array("d")  # the time of every MARK-th tick
        self._events = 0
        self._findings: list[Finding] = []

    def read(self, events: Iterable[AnyEvent]) -> None:
        """Take in events, the times of which never decrease. Once."""
        detector, start, due = self._detector, 0.0, math.inf
        for event in events:
            if not self._events:
                start, due = event.time, event.time + _TICK
            idle = 0
            while event.time >= due:
                self._tick(due, start)
                idle += 1
                due = due + _TICK if idle < TICKS_IN_A_GAP else max(due, event.time) + _TICK
            detector.feed(event)
            self._events += 1
        if self._events:
            self._tick(due, start)

    def material(self) -> Material:
        """All vectors, the last part of the time apart. Raises TrainingError if there are none."""
        if not self._rows:
            raise TrainingError(f"nothing to learn from: {self._events} events of MQTT")
        every = joined(self._parts)
        late = every.time > self._marks[int(len(self._marks) * (1.0 - HELD_OUT))]
        detector = self._detector
        detector.watch.settle_newcomers()
        return Material(
            learned=every.at(~late),
            held_out=every.at(late),
            duration=self._ticks * _TICK,
            held_out_duration=self._ticks * _TICK * HELD_OUT,
            events=self._events,
            clients=len(detector.watch.tally.clients),
            addresses=len(detector.watch.tally.hosts),
            findings=tuple(self._findings),
        )

    def _tick(self, now: float, start: float) -> None:
        if self._ticks % _MARK == 0:
            self._marks.append(now)
        self._ticks += 1
        self._findings += [
            Finding(after=alert.first_seen - start, alert=alert)
            for alert in self._detector.tick(now)
            if alert.state == "open" and alert.severity != "info"
        ]

    def _take(self, judged: Judged) -> None:
        share = self._share
        samples = kept(judged.batch, judged.time, self._rng, KEPT * share, KEPT_RARE * share)
        self._parts.append(samples)
        self._rows += len(samples)
        if len(self._parts) > _PARTS:
            self._parts = [self._parts[0], joined(self._parts[1:])]
        if self._rows > MOST_ROWS:
            half = joined(self._parts)
            half = half.at(self._rng.random(len(half)) < 0.5)  # noqa: PLR2004 - a half
            self._parts, self._rows = [half], len(half)
            self._share /= 2.0
