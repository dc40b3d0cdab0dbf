"""Events in, vectors of subjects out: the tally, the windows and the normals of both roles.

Events are folded into the windows once a second of event time, whatever the caller's pace, so
that the same events always give the same vectors.
"""

import math
from typing import Final, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.counters import Client, Gauge, Host
from mqtt_ids.events import Event, Sees
from mqtt_ids.feature_table import Role
from mqtt_ids.features import Figures, Layout, State, Vectors
from mqtt_ids.normal import SLOT, Normal
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.tally import Tally
from mqtt_ids.windows import Floats, Rows, Windows

STEP: Final = 1.0  # seconds of event time between two folds
QUIET_EVERY: Final = 10  # a subject without new events is judged every so many ticks
FORGET_SWEEP: Final = 3600.0  # seconds between two sweeps for topics to forget

S = TypeVar("S", ClientSubject, HostSubject)


class Batch(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """Subjects of one role that are due to be judged, and their vectors, row by row."""

    role: Role
    subjects: list[S]
    state: State
    vectors: Vectors


AnyBatch = Batch[ClientSubject] | Batch[HostSubject]


class _Side(Generic[S]):
    """Everything about one role: clients, or hosts."""

    def __init__(self, role: Role, counters: int, events: tuple[int, ...], sees: Sees) -> None:
        self.role = role
        self.windows = Windows(counters)
        self.normal = Normal(counters, events)
        self.layout = Layout(role, sees)
        self.due: dict[int, S] = {}
        self.started: list[int] = []

    def start(self, newcomers: list[S]) -> None:
        """Give rows to subjects that were not there before, and empty the list."""
        for subject in newcomers:
            self.windows.start(subject.row, subject.since)
            self.normal.start(subject.row, subject.since)
            self.started.append(subject.row)
        newcomers.clear()

    def fold(self, subjects: list[S], now: float) -> None:
        """Move the subjects' counts into the windows and normals, and empty the list."""
        live = [subject for subject in subjects if subject.tracked]
        subjects.clear()
        if not live:
            return
        amounts = np.array([subject.counts for subject in live], np.float32)
        rows = np.array([subject.row for subject in live], np.intp)
        self.windows.add(rows, amounts, now)
        self.normal.add(rows, amounts)
        for subject in live:
            subject.counts = None
            self.due[subject.row] = subject

    def state(self, subjects: list[S], gauges: Floats, now: float) -> State:
        """What is known of `subjects` at `now`."""
        rows = np.array([subject.row for subject in subjects], np.intp)
        ages = np.array([now - subject.since for subject in subjects])
        return State(
            counts=self.windows.read(rows, now),
            gauges=gauges,
            rates=self.normal.rates(rows),
            earned=self.normal.earned(rows),
            ages=ages,
        )


class Watch:
    """Watches subjects. `feed` is O(1) per event; `due` gives whom to judge now."""

    def __init__(self, *, sees: Sees, max_clients: int) -> None:
        self.tally = Tally(max_clients)
        self._clients: _Side[ClientSubject] = _Side(Role.CLIENT, Client.COUNT, Client.EVENTS, sees)
        self._hosts: _Side[HostSubject] = _Side(Role.HOST, Host.COUNT, Host.EVENTS, sees)
        self._edge = -math.inf  # the next fold
        self._turn = math.inf  # the next end of a slot of the normals
        self._sweep = math.inf
        self._tick = 0

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays of both roles."""
        sides = (self._clients, self._hosts)
        return sum(side.windows.nbytes + side.normal.nbytes for side in sides)

    def feed(self, event: Event) -> None:
        """Count one event."""
        if event.time >= self._edge:
            self.fold(event.time)
        self.tally.count(event)

    def fold(self, now: float) -> None:
        """Move what was counted since the last fold into the windows."""
        tally = self.tally
        # Where nobody came by for long, what was counted did not happen just now.
        counted_by = min(now, self._edge)
        if self._edge == -math.inf:
            counted_by = now
            self._turn = now + SLOT
            self._sweep = now + FORGET_SWEEP
        self._edge = now + STEP
        tally.connections.ripen(now)
        self.settle_newcomers()
        self._clients.fold(tally.clients_to_fold, counted_by)
        self._hosts.fold(tally.hosts_to_fold, counted_by)
        if now >= self._turn:
            self._turn = now + SLOT
            self._clients.normal.turn(now)
            self._hosts.normal.turn(now)
        if now >= self._sweep:
            self._sweep = now + FORGET_SWEEP
            tally.topics.expire(now)

    def settle_newcomers(self) -> None:
        """Give rows to subjects that came since the last fold."""
        self._clients.start(self.tally.new_clients)
        self._hosts.start(self.tally.new_hosts)

    def due(self, now: float) -> tuple[Batch[ClientSubject] | None, Batch[HostSubject] | None]:
        """Who has news since the last call, and the quiet ones at a slower pace."""
        self.fold(now)
        self._tick += 1
        clients = self._whom(self._clients, self.tally.clients.every(self._tick, QUIET_EVERY))
        hosts = self._whom(self._hosts, self.tally.hosts.every(self._tick, QUIET_EVERY))
        for host in self._uneasy():
            hosts.setdefault(host.row, host)
        none = np.empty((len(clients), 0), np.float32)
        held = [host.gauges for host in hosts.values()]
        gauges = np.array(held, np.float32).reshape(len(hosts), Gauge.COUNT)
        return (
            self._batch(self._clients, clients, none, now),
            self._batch(self._hosts, hosts, gauges, now),
        )

    def started(self, role: Role) -> list[int]:
        """Rows given to new subjects since the last call."""
        side = self._clients if role is Role.CLIENT else self._hosts
        rows, side.started = side.started, []
        return rows

    def taint(self, role: Role, rows: Rows) -> None:
        """Keep what `rows` do now out of their normals."""
        side = self._clients if role is Role.CLIENT else self._hosts
        side.normal.taint(rows)

    def figures(self, batch: AnyBatch, places: NDArray[np.intp]) -> Figures:
        """Observed and usual figures, in units, of the batch's rows at `places`."""
        side = self._clients if batch.role is Role.CLIENT else self._hosts
        state = batch.state
        few = State(
            counts=state.counts[places],
            gauges=state.gauges[places],
            rates=state.rates[places],
            earned=state.earned[places],
            ages=state.ages[places],
        )
        return side.layout.figures(few)

    def earned(self, clients: list[ClientSubject]) -> NDArray[np.bool_]:
        """Which of the clients have a normal of their own."""
        return self._clients.normal.earned(np.array([c.row for c in clients], np.intp))

    def _uneasy(self) -> list[HostSubject]:
        """Hosts whose gauges rose without events; those with half-open ones come again."""
        uneasy = self.tally.connections.uneasy
        hosts = list(uneasy)
        for host in hosts:
            if not host.gauges[Gauge.HALF_OPEN]:
                del uneasy[host]
        return hosts

    @staticmethod
    def _whom(side: _Side[S], quiet: list[S]) -> dict[int, S]:
        news, side.due = side.due, {}
        whom = {row: subject for row, subject in news.items() if subject.tracked}
        for subject in quiet:
            whom.setdefault(subject.row, subject)
        return whom

    @staticmethod
    def _batch(side: _Side[S], whom: dict[int, S], gauges: Floats, now: float) -> Batch[S] | None:
        subjects = list(whom.values())
        if not subjects or side.layout.sees_nothing:
            return None
        state = side.state(subjects, gauges, now)
        return Batch(
            role=side.role, subjects=subjects, state=state, vectors=side.layout.vectors(state)
        )
