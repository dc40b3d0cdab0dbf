"""How the engine is, for people: the summary that is published, and what commands show."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from mqtt_ids.alerts import iso
from mqtt_ids.backlog import Backlog
from mqtt_ids.detecting import CLIENTS, Detecting, client_rows
from mqtt_ids.faults import Faults
from mqtt_ids.responders.act import Responder
from mqtt_ids.responders.outlets import Outlets
from mqtt_ids.responders.publish import Learning, Publisher, Summary
from mqtt_ids.responders.report import Reporter
from mqtt_ids.settings import Settings
from mqtt_ids.store import Store


class Pulse:
    """What an engine counts of itself. `late`: seconds that each of the last ticks was late."""

    def __init__(self) -> None:
        self.started = 0.0
        self.events = 0
        self.skipped = 0
        self.late: deque[float] = deque(maxlen=60)


class Overview:
    """Looks at all parts of an engine, and changes none."""

    def __init__(  # noqa: PLR0913 - all that there is to look at
        self,
        settings: Settings,
        *,
        sensor: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        pulse: Pulse,
        detector: Callable[[], Detecting | None],
        responder: Responder,
        reporter: Reporter,
        store: Store,
        publisher: Publisher,
        outlets: Outlets,
        faults: Faults,
        backlog: Backlog | None,
    ) -> None:
        self._settings = settings
        self._sensor = sensor
        self._clock = clock
        self._wall = wall
        self._pulse = pulse
        self._detector = detector
        self._responder = responder
        self._reporter = reporter
        self._store = store
        self._publisher = publisher
        self._outlets = outlets
        self._faults = faults
        self._backlog = backlog

    def publish(self, now: float) -> None:
        """Publish the summary when it is due; for Prometheus there are new numbers."""
        self._outlets.look(self._summary)
        reporter = self._reporter
        gist = (
            reporter.open_incidents,
            reporter.active,
            len(self._responder.bans),
            self._faults.count > 0,
            self._unwritten > 0,
        )
        if self._publisher.wants_summary(gist, now):
            self._publisher.summary(self._summary(), gist, now)

    def status(self) -> dict[str, Any]:
        """What `status` shows beside bans and actions."""
        return {
            **msgspec.to_builtins(self._summary()),
            "running_for": round(self._clock() - self._pulse.started, 1),
            "dry_run": self._settings.protect.dry_run,
            "state_dir": str(self._settings.state_dir),
            "last_error": self._faults.last,
            "offers": sorted(self._responder.offers),
        }

    def clients(self) -> list[dict[str, Any]]:
        """What `clients` shows: times as wall time."""
        detector = self._detector()
        if detector is None:
            return []
        now = self._clock()
        memory = detector.memories.get(CLIENTS)
        habits = {} if memory is None else memory.habits(now)
        return client_rows(detector.clients(), habits, self._wall() - now)

    def top(self, most: int) -> dict[str, Any]:
        """What `top` shows beside incidents and actions. Looks at `most` clients closely."""
        detector, pulse, now = self._detector(), self._pulse, self._clock()
        found = None if detector is None else detector.standings(most, now)
        return {
            "time": iso(self._wall()),
            "sensor": self._sensor,
            "mode": self._settings.mode,
            "running_for": round(now - pulse.started, 1),
            "open_incidents": self._reporter.open_incidents,
            "active": self._reporter.active,
            "bans": len(self._responder.bans),
            "events": pulse.events,
            "lag": round(max(pulse.late, default=0.0), 3),
            **({} if found is None else msgspec.to_builtins(found)),
        }

    @property
    def _unwritten(self) -> int:
        return self._store.unwritten + self._outlets.unwritten

    def _summary(self) -> Summary:
        backlog, detector, pulse = self._backlog, self._detector(), self._pulse
        views = [] if detector is None else detector.clients()
        connected = [view for view in views if view.connected]
        return Summary(
            time=iso(self._wall()),
            mode=self._settings.mode,
            sensor=self._sensor,
            learning=Learning.of(connected),
            clients=len(connected),
            open_incidents=self._reporter.open_incidents,
            active=self._reporter.active,
            bans=len(self._responder.bans),
            lag=round(max([*pulse.late, 0.0 if backlog is None else backlog.lag]), 3),
            events=pulse.events,
            skipped=pulse.skipped
            + (0 if detector is None else detector.skipped)
            + (0 if backlog is None else backlog.skipped),
            errors=self._faults.count,
            unwritten=self._unwritten,
        )
