"""The engine: sensor to detector to responders, and the only place with tasks.

A sensor feeds events and asks who is barred; once a second the detector ticks, policy decides
about each alert, and the alert goes out with what was done. Nothing here ever raises into the
sensor: if we fail, the broker goes on.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec

from mqtt_ids.accepted import Accepted
from mqtt_ids.alerts import Alert
from mqtt_ids.backlog import Backlog
from mqtt_ids.commands import Desk
from mqtt_ids.control import ControlServer
from mqtt_ids.decisions import Decisions
from mqtt_ids.detecting import CLIENTS, ClientView, Detecting
from mqtt_ids.errors import StateError
from mqtt_ids.events import AnyEvent, Published, Sees
from mqtt_ids.faults import Faults
from mqtt_ids.models import MakeDetector, open_detector
from mqtt_ids.names import known_address
from mqtt_ids.policy import Ban, Neighbours, Scene
from mqtt_ids.recollection import Recollection
from mqtt_ids.responders.act import Actuator, Responder
from mqtt_ids.responders.outlets import Outlets
from mqtt_ids.responders.overview import Overview, Pulse
from mqtt_ids.responders.publish import Publish, Publisher
from mqtt_ids.responders.report import Reporter
from mqtt_ids.settings import Settings
from mqtt_ids.store import Store
from mqtt_ids.waiting import Waiting

log = logging.getLogger(__name__)

__all__ = ["Actuator", "Engine"]

TICK = 1.0  # seconds
OVERDUE = 0.25  # seconds after which an event runs a tick that the starved loop owes
ESTABLISHED = 60.0  # seconds after which a client is one that a mistake would hurt
SETTLING = 30.0  # seconds after the start in which nobody can have been here for long


class Engine:
    """Everything behind one sensor: detector, policy, store, control socket, what is published.

    `feed` and `barred` may be called at any time, before `start` and after `stop` as well.
    """

    def __init__(  # noqa: PLR0913 - what a sensor brings, and what a test replaces
        self,
        settings: Settings,
        *,
        sensor: str,
        sees: Sees,
        actuator: Actuator,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        detector: Detecting | None = None,
        own_ids: frozenset[str] = frozenset(),
        make_detector: MakeDetector = open_detector,
        backlog: Backlog | None = None,
        withdraw: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._sensor = sensor
        self._sees = sees
        self._clock = clock
        self._wall = wall
        self._own_ids = own_ids
        self._detector = detector
        self._store = Store(settings.state_dir, incidents_kept=settings.limits.incidents_kept)
        self._faults = Faults()
        self._responder = Responder(settings, actuator, self._store, self._failed)
        self._outlets = Outlets(settings, self._failed)
        self._make_detector = partial(make_detector, settings, judged=self._outlets.judged)
        self._publisher = Publisher(publish, settings.topics, withdraw, self._outlets.alert)
        self._reporter = Reporter(
            settings.mode, self._responder, self._store, self._publisher, self._faults
        )
        self._recollection = Recollection(self._store, wall)
        self._decisions = Decisions(self._store, self._widen)
        self._pulse = Pulse()
        self._overview = Overview(
            settings,
            sensor=sensor,
            clock=clock,
            wall=wall,
            pulse=self._pulse,
            detector=lambda: self._detector,
            responder=self._responder,
            reporter=self._reporter,
            store=self._store,
            publisher=self._publisher,
            outlets=self._outlets,
            faults=self._faults,
            backlog=backlog,
        )
        self._desk = Desk(
            responder=self._responder,
            store=self._store,
            publisher=self._publisher,
            wall=wall,
            overview=self._overview,
            decisions=self._decisions,
            forget=self._forget,
        )
        self._control = ControlServer(settings.state_dir, self._desk.answer)
        self._waiting = Waiting()
        self._views: dict[str, ClientView] | None = None  # as of this tick, once they are needed
        self._running = False
        self._ticking = False
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the model, take the state folder, open the control socket, say online.

        Raises SettingsError, StateError or the model package's ModelError, in one line each; then
        nothing is left behind.
        """
        if self._detector is None:
            self._detector = self._make_detector(self._sees)
        self._store.open()
        try:
            await self._control.start()
        except StateError:
            self._store.close()
            raise
        self._responder.restore(self._store.bans(), self._wall())
        self._outlets.start()
        self._safely("the state", self._reporter.close_left_open)
        self._safely("the state", lambda: self._decisions.restore(self._wall()))
        self._pulse.started = self._clock()
        self._take_up(self._detector, self._sees)
        self._due = self._pulse.started + TICK
        self._running = True
        self._safely("publishing", lambda: self._publisher.status("online"))
        self._safely("publishing", lambda: self._overview.publish(self._pulse.started))
        self._task = asyncio.create_task(self._run(), name="mqtt-ids-tick")
        log.info(
            "watching as %s: mode %s, state folder %s",
            self._sensor,
            self._settings.mode,
            self._settings.state_dir,
        )

    async def stop(self) -> None:
        """Say offline, close the control socket, write what waits. Twice does no harm."""
        if not self._running:
            return
        self._running = False
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._safely("publishing", lambda: self._publisher.status("offline"))
        await self._control.stop()
        self._keep_at_last()
        await asyncio.to_thread(self._outlets.stop)
        await asyncio.to_thread(self._store.close)

    def look_again(self, sees: Sees) -> None:
        """From now on the sensor sees other things: what was learned of others counts no more.

        What was learned when these were last seen is taken up again. Raises ModelError; then
        nothing has changed.
        """
        if sees == self._sees or self._detector is None:
            return
        fresh, now = self._make_detector(sees), self._clock()
        self._keep_at_last()
        self._take_up(fresh, sees)
        before, self._detector, self._sees = self._detector, fresh, sees
        self._pulse.started = now
        self._safely("an alert", lambda: self._report(before.end(now), now))

    def feed(self, event: AnyEvent) -> None:
        """Take in what the sensor saw. O(1), and never raises."""
        detector = self._detector
        if detector is None or not self._running:
            return
        self._pulse.events += 1
        try:
            if type(event) is not Published:
                self._waiting.see(event)
            detector.feed(event)
        except Exception as error:  # noqa: BLE001 - the broker goes on, whatever is wrong with us
            self._pulse.skipped += 1
            self._faults.caught("the detector", error, event.time)
        if event.time >= self._due + OVERDUE:
            now = self._clock()
            if now >= self._due:  # else the event's time is not of our clock
                self._tick(now)

    def let_everybody_in(self) -> None:
        """Before a stop: nobody is kept out while nobody is here to let them in again."""
        self._safely("the response", self._responder.let_everybody_in)

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        """The ban that keeps this one out, if there is one. O(1), and never raises."""
        bans = self._responder.bans
        return bans.keep_out(address, client_id, username, self._wall()) if bans else None

    async def _run(self) -> None:
        """Tick once a second. A flood that starves the loop is met by `feed`."""
        while True:
            await asyncio.sleep(max(self._due - self._clock(), 0.001))
            now = self._clock()
            if now >= self._due:
                self._tick(now)

    def _tick(self, now: float) -> None:
        """One round at sensor time `now`: judge, act, tell."""
        if self._ticking:  # an action may feed events back at once
            return
        self._ticking = True
        self._pulse.late.append(max(self._clock() - self._due, 0.0))
        self._due = now + TICK
        self._safely("the detector", lambda: self._judge(now))
        self._safely("the response", lambda: self._responder.expire(self._wall()))
        self._safely("the state", lambda: self._decisions.expire(self._wall()))
        self._safely("the state", lambda: self._keep(now))
        self._safely("publishing", lambda: self._overview.publish(now))
        self._ticking = False

    def _take_up(self, detector: Detecting, sees: Sees) -> None:
        detector.accepted = self._decisions.accepted
        recall = self._recollection.take_up
        self._safely("the state", lambda: recall(detector.memories, sees, self._clock()))

    def _widen(self, accepted: Accepted) -> None:
        if self._detector is not None:
            self._detector.accepted = accepted

    def _forget(self, client_id: str) -> bool:
        """Drop what is normal for a client, here and, with the next tick, on the disk."""
        memory = None if self._detector is None else self._detector.memories.get(CLIENTS)
        if memory is None or not memory.forget(client_id, self._clock()):
            return False
        self._recollection.hurry()
        return True

    def _keep(self, now: float) -> None:
        if self._detector is not None:
            self._recollection.keep(self._detector.memories, self._sees, now)

    def _keep_at_last(self) -> None:
        detector, keep = self._detector, self._recollection.keep_at_last
        if detector is not None:
            self._safely("the state", lambda: keep(detector.memories, self._sees, self._clock()))

    def _judge(self, now: float) -> None:
        detector, wall = self._detector, self._wall()
        if detector is None:
            return
        self._views = None
        alerts = detector.tick(now)
        self._reporter.reconsider(
            detector.goes_on, lambda alert: self._surroundings(alert, now), now, wall
        )
        self._report(alerts, now)

    def _report(self, alerts: list[Alert], now: float) -> None:
        wall = self._wall()
        for alert in alerts:
            named = msgspec.structs.replace(
                alert, sensor=self._sensor, address=known_address(alert.address)
            )
            self._reporter.report(named, lambda alert: self._surroundings(alert, now), now, wall)

    def _safely(self, where: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - the broker goes on, whatever is wrong with us
            self._failed(where, error)

    def _failed(self, where: str, error: Exception) -> None:
        self._faults.caught(where, error, self._clock())

    def _surroundings(self, alert: Alert, now: float) -> tuple[Neighbours, Scene]:
        """Whom an action upon `alert` would hit. Asked for only where one may be taken."""
        if self._settings.mode == "observe" or self._detector is None or alert.state == "closed":
            return Neighbours(), Scene()
        if self._views is None:
            self._views = {view.client_id: view for view in self._detector.clients()}
        named = {*alert.clients, alert.client_id or ""}
        offenders = [self._views[name] for name in named if name in self._views]
        scene = Scene(
            own_ids=self._own_ids,
            established=frozenset(
                view.client_id for view in offenders if self._is_established(view, alert)
            ),
            waiting=self._waiting.of(alert.address, now),
        )
        return self._detector.neighbours(alert.id), scene

    def _is_established(self, view: ClientView, alert: Alert) -> bool:
        """Whether a mistake about this client would hurt. Just after the start, always."""
        settling = alert.first_seen - self._pulse.started < SETTLING
        return view.learned or settling or alert.first_seen - view.since >= ESTABLISHED
