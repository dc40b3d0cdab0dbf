"""What a scan has found: its incidents and notes, of which only so many are told one by one."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from mqtt_ids.alerts import SEVERITIES, Alert, Attack
from mqtt_ids.detector import GOES_ON
from mqtt_ids.incidents import CALM_AFTER

NOTE: Final = "info"
MOST_TOLD: Final = 500  # incidents; the others are counted
NAMES_KEPT: Final = 20  # of a kind of note


class Found:
    """One incident above info.

    `alert` is the latest; `last` the last sign of it that is known of, in seconds on the sensor's
    clock; `counts` says that it is no mere incident of the calm part.
    """

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.last = alert.time
        self.counts = False

    def update(self, alert: Alert, end: float = math.inf) -> None:
        """Take in a further alert of it. No sign comes after the `end` of what was read."""
        self.alert = alert
        last = alert.time - CALM_AFTER if alert.state == "closed" else alert.time
        self.last = max(alert.first_seen, min(last, end))


class Noted:
    """All notes of one kind: how many, and whom they are of."""

    def __init__(self) -> None:
        self.count = 0
        self.names: dict[str, None] = {}

    def add(self, alert: Alert) -> None:
        """A note was opened."""
        self.count += 1
        name = alert.client_id or alert.address
        if name is not None and len(self.names) < NAMES_KEPT:
            self.names[name] = None


class Findings:
    """All incidents and notes of a scan, bounded.

    While `learning`, incidents are notes, kept in `in_calm`: they are not counted as found.
    `untold` counts those that are too many to be told one by one. `end` is the time of the last
    event, once that is known.
    """

    def __init__(self) -> None:
        self.learning = False
        self.end: float | None = None
        self._border: float | None = None  # when the calm part ended
        self.found: dict[str, Found] = {}
        self.in_calm: dict[str, Found] = {}
        self.notes: dict[Attack, Noted] = {}
        self.untold: Counter[Attack] = Counter()
        self._open: dict[str, Found] = {}

    @property
    def count(self) -> int:
        """How many incidents above info were found."""
        return len(self.found) + self.untold.total()

    def add(self, alert: Alert) -> None:
        """Take in an alert."""
        if alert.severity == NOTE:
            if alert.state == "open":
                self.notes.setdefault(alert.attack, Noted()).add(alert)
            return
        known = self._open.get(alert.id)
        if known is None:
            known = self._open[alert.id] = Found(alert)
        known.update(alert, math.inf if self.end is None else self.end)
        self._file(known)
        if alert.state == "closed":
            del self._open[alert.id]

    def _file(self, one: Found) -> None:
        """Put an incident where it belongs: it may be new, or have outlasted the calm part."""
        key = one.alert.id
        if self.learning:
            if len(self.in_calm) < MOST_TOLD:
                self.in_calm[key] = one
        elif one.counts:
            return
        elif key not in self.in_calm or self._border is None or one.last > self._border + GOES_ON:
            self.in_calm.pop(key, None)
            one.counts = True
            if len(self.found) < MOST_TOLD:
                self.found[key] = one
            else:
                self.untold[one.alert.attack] += 1

    def learned(self, now: float | None) -> None:
        """The calm part is over."""
        self.learning = False
        self._border = now

    def look(self, goes_on: Callable[[str], bool], now: float) -> None:
        """See at a tick which of the open incidents go on."""
        for key, one in self._open.items():
            if goes_on(key):
                one.last = now if self.end is None else min(now, self.end)
                self._file(one)

    def goes_on(self, one: Found) -> bool:
        """Whether an incident went on to the end, as far as that is known."""
        return self.end is not None and one.last >= self.end - GOES_ON

    def gravest(self) -> list[Found]:
        """Those that are told one by one, the gravest first, and of these the earliest."""
        return sorted(
            self.found.values(),
            key=lambda one: (-SEVERITIES.index(one.alert.severity), one.alert.first_seen),
        )

    @staticmethod
    def as_note(alert: Alert) -> Alert:
        """An alert of the calm part as it is told: as a note."""
        return msgspec.structs.replace(alert, severity=NOTE, active=False)
