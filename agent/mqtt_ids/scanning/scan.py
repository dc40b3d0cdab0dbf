"""Events of another day, judged as if they came now: the clock is that of the events.

The detector is ticked once a second of their time, and for a while past the last of them, so that
what waited for silence is told. Where nothing happens for long, the ticks become fewer, so that a
hole of fifty years has an end.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.events import AnyEvent, Connected, Sees
from mqtt_ids.mask_classes import Threshold
from mqtt_ids.scanning.calm_part import CalmPart, Lesson
from mqtt_ids.scanning.curves import Curves
from mqtt_ids.scanning.findings import Findings
from mqtt_ids.views import Judged
from mqtt_ids_model import Model

TICK: Final = 1.0  # seconds
PAST_THE_END: Final = 30.0  # seconds for which the clock runs on
# After so many seconds of quiet, the next tick comes after so many, or else this part of the quiet.
PACES: Final = ((86_400.0, 3600.0), (900.0, 60.0))
LONG_QUIET: Final = 2_592_000.0  # seconds
LONG_PACE: Final = 1 / 30
# Ticks that quiet may cost: what an event brings, and what there is to begin with. When they are
# spent, quiet is passed through in growing steps: events a day apart must not cost seconds each.
TICKS_AN_EVENT: Final = 60
TICKS_IN_HAND: Final = 20_000
SPENT_PACE: Final = 1 / 4
MOST_COUNTED: Final = 100_000  # ids and addresses; an attacker makes up any number


class Census:
    """Who was there: ids and addresses of connections that the broker accepted, and the span.

    `first` and `last` are the times of the first event and the last, None before there is one.
    """

    def __init__(self) -> None:
        self.events = 0
        self.first: float | None = None
        self.last: float | None = None
        self._clients: set[int] = set()
        self._addresses: set[int] = set()

    @property
    def clients(self) -> int:
        """How many client ids; at most MOST_COUNTED."""
        return len(self._clients)

    @property
    def addresses(self) -> int:
        """How many addresses; at most MOST_COUNTED."""
        return len(self._addresses)

    def count(self, event: Connected) -> None:
        """Someone was let in."""
        if len(self._clients) < MOST_COUNTED:
            self._clients.add(hash(event.client_id))
        if len(self._addresses) < MOST_COUNTED:
            self._addresses.add(hash(event.address))


class Scan:
    """Events in, alerts out. `alerts` may be called with one part after the other, then `end`.

    `census` and `findings` tell what was met; `judgements` counts vectors, `odd` those above their
    threshold; `lesson` is what the calm part taught. With `curves` the scores over time are kept.
    Raises ModelError as a detector does.
    """

    def __init__(
        self,
        model: Model,
        *,
        sees: Sees,
        threshold: Threshold = "budget",
        curves: Curves | None = None,
    ) -> None:
        self._detector = Detector(model, sees=sees, threshold=threshold, judged=self._judged)
        self._curves = curves
        self._calm: CalmPart | None = None
        self.lesson: Lesson | None = None
        self._last: float | None = None  # the time of the last event
        self._due = math.nan  # the next tick
        self._over = False
        self._ticks_in_hand = TICKS_IN_HAND
        self.census = Census()
        self.findings = Findings()
        self.judgements = 0
        self.odd = 0

    def alerts(self, events: Iterable[AnyEvent]) -> Iterator[Alert]:
        """What the detector tells of these events, each as soon as its tick has passed."""
        feed, census = self._detector.feed, self.census
        for event in events:
            if self._last is None:
                self._last = event.time
                # On whole seconds: the story is the same wherever a capture was cut.
                self._due = math.floor(event.time) + TICK
            if census.first is None:
                census.first = event.time
            if event.time >= self._due:
                yield from self._until(event.time)
            feed(event)
            self._last = census.last = event.time
            self._ticks_in_hand += TICKS_AN_EVENT
            census.events += 1
            if type(event) is Connected:
                census.count(event)

    def learn(self, events: Iterable[AnyEvent]) -> Iterator[Alert]:
        """The same of a part that is calm: its alerts are notes, and thresholds are set by it.

        Raises TrainingError, after the last alert, where the part is too short.
        """
        self._calm = calm = CalmPart(self._detector.thresholds)
        self.findings.learning = True
        for alert in self.alerts(events):
            yield self.findings.as_note(alert)
        self._calm = None
        self.findings.learned(self._last)
        self.lesson = calm.lesson()
        self._detector.thresholds = self.lesson.thresholds

    def recount(self) -> None:
        """What is counted is counted anew: another capture than the calm one begins."""
        self.census = Census()
        self.judgements = self.odd = 0
        if self._curves is not None:
            self._curves.clear()

    def end(self) -> Iterator[Alert]:
        """Let the clock run on past the last event; what it brings.

        That everybody is silent now is no news.
        """
        if self._last is not None:
            self.findings.end = self._last
            self._over = True
            yield from self._until(self._last + PAST_THE_END)

    def _until(self, time: float) -> Iterator[Alert]:
        """All ticks that are due at `time`, which is an event's or the end."""
        quiet_since = time if self._last is None else self._last
        while self._due <= time:
            now = self._due
            for alert in self._detector.tick(now):
                if self._over and alert.attack == "silence" and alert.first_seen > quiet_since:
                    continue
                self.findings.add(alert)
                yield alert
            self.findings.look(self._detector.goes_on, now)
            self._ticks_in_hand -= 1
            # Far from zero a second is less than what a float can add.
            self._due = max(now + self._pace(now - quiet_since), math.nextafter(now, math.inf))
        self._due = min(self._due, time + TICK)

    def _pace(self, quiet: float) -> float:
        """Seconds until the next tick, after so many without an event."""
        if self._ticks_in_hand <= 0:
            return max(TICK, SPENT_PACE * quiet)
        if quiet >= LONG_QUIET:
            return LONG_PACE * quiet
        return next((pace for least, pace in PACES if quiet >= least), TICK)

    def _judged(self, judged: Judged) -> None:
        if self._calm is not None:
            self._calm.see(judged)
        first = self.census.first
        if first is None or judged.time < first:  # a last round of the calm capture
            return
        self.judgements += len(judged.scores)
        self.odd += int((judged.scores > judged.thresholds).sum())
        if self._curves is not None:
            self._curves.see(judged)
