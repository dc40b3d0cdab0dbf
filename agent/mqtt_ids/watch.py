"""Events in, vectors of subjects out: the tally, the windows and the normals of both roles.

Events are folded into the windows once a second of event time, whatever the caller's pace, so
that the same events always give the same vectors.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.counters import Client, Gauge, Host
from mqtt_ids.events import Event, Sees
from mqtt_ids.feature_table import Role
from mqtt_ids.features import Figures, Layout, State, Vectors
from mqtt_ids.normal import SLOT, Normal
from mqtt_ids.registry import Registry
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.tally import Tally
from mqtt_ids.windows import Floats, Rows, Windows

STEP: Final = 1.0  # seconds of event time between two folds
QUIET_EVERY: Final = 10  # a subject without new events is judged every so many ticks
RESTS_AFTER: Final = 3600.0  # seconds without events; six half-lives of the longest window
RESTING_EVERY: Final = 600  # ticks; a multiple of QUIET_EVERY
FORGET_SWEEP: Final = 3600.0  # seconds between two sweeps for whom and what to forget
FORGOTTEN_AFTER: Final = 30 * 86_400.0  # seconds unseen after which somebody is a newcomer again

S = TypeVar("S", ClientSubject, HostSubject)


class Batch(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """Subjects of one role that are due to be judged, and their vectors, row by row."""

    role: Role
    subjects: list[S]
    state: State
    vectors: Vectors


AnyBatch = Batch[ClientSubject] | Batch[HostSubject]


class _Look(NamedTuple, Generic[S]):
    """Subjects of one role, their rows, and their windows at one moment."""

    subjects: list[S]
    rows: Rows
    counts: Floats


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
        live, amounts = self._taken(subjects)
        if live:
            self._counted(_rows(live), amounts, now)
            self.due |= {subject.row: subject for subject in live}

    def look(self, subjects: list[S], others: Iterable[S], now: float) -> "_Look[S]":
        """Fold `subjects`, and read whoever has news since the last look, and `others`."""
        if self.due:  # somebody was folded before: whose row comes first is not known
            self.fold(subjects, now)
        live, amounts = self._taken(subjects)
        whom = {row: subject for row, subject in self.due.items() if subject.tracked}
        self.due = {}
        whom |= {subject.row: subject for subject in live}
        for other in others:
            whom.setdefault(other.row, other)
        found = list(whom.values())
        rows = _rows(found)
        return _Look(found, rows, self._counted(rows, amounts, now))

    def state(self, look: "_Look[S]", gauges: Floats, now: float) -> State:
        """What is known at `now` of those that were looked at just then."""
        return State(
            counts=look.counts,
            gauges=gauges,
            rates=self.normal.rates(look.rows),
            earned=self.normal.earned(look.rows),
            ages=np.array([now - subject.since for subject in look.subjects]),
        )

    def _counted(self, rows: Rows, amounts: Floats, now: float) -> Floats:
        """Count `amounts` for the first of `rows`; the windows of all."""
        if len(amounts):
            self.normal.add(rows[: len(amounts)], amounts)
        return self.windows.add_and_read(rows, amounts, now)

    @staticmethod
    def _taken(subjects: list[S]) -> tuple[list[S], Floats]:
        """Those of `subjects` that are still tracked, and their counts; the list is emptied."""
        live = [subject for subject in subjects if subject.tracked]
        subjects.clear()
        amounts = np.array([subject.counts for subject in live], np.float32)
        for subject in live:
            subject.counts = None
        return live, amounts


class Watch:
    """Watches subjects. `feed` is O(1) per event; `due` gives whom to judge now.

    Who was silent for `rests_after` seconds is hardly ever due.
    """

    def __init__(self, *, sees: Sees, max_clients: int, rests_after: float = math.inf) -> None:
        self.tally = Tally(max_clients)
        self._rests_after = rests_after
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

    def normal(self, role: Role) -> Normal:
        """The normals of one role, by row."""
        return (self._clients if role is Role.CLIENT else self._hosts).normal

    def read(self, role: Role, rows: Rows, now: float) -> Floats:
        """The fading counters of these rows at `now`: rows x counters x half-lives."""
        return (self._clients if role is Role.CLIENT else self._hosts).windows.read(rows, now)

    def begin(self, now: float, turn: float) -> None:
        """Go on at `now` where another has ended: the slot of the normals ends in `turn` s."""
        self._edge = now
        self._turn = now + turn
        self._sweep = now + FORGET_SWEEP

    def start_again(self, client: ClientSubject, now: float) -> None:
        """Know nothing of `client` any more but that it is here: it is news once more."""
        self.tally.meet_anew(client, now)
        self._clients.windows.start(client.row, now)
        self._clients.normal.start(client.row, now)

    def slot_left(self, now: float) -> float:
        """Seconds until the running slot of the normals ends."""
        return max(self._turn - now, 0.0)

    def feed(self, event: Event) -> None:
        """Count one event."""
        if event.time >= self._edge:
            self.fold(event.time)
        self.tally.count(event)

    def fold(self, now: float) -> None:
        """Move what was counted since the last fold into the windows."""
        # Where nobody came by for long, what was counted did not happen just now.
        counted_by = now if self._edge == -math.inf else min(now, self._edge)
        self._begin_fold(now)
        self._clients.fold(self.tally.clients_to_fold, counted_by)
        self._hosts.fold(self.tally.hosts_to_fold, counted_by)
        self._end_fold(now)

    def _begin_fold(self, now: float) -> None:
        if self._edge == -math.inf:
            self._turn = now + SLOT
            self._sweep = now + FORGET_SWEEP
        self._edge = now + STEP
        self.tally.connections.ripen(now)
        self.settle_newcomers()

    def _end_fold(self, now: float) -> None:
        if now >= self._turn:
            self._turn = now + SLOT
            self._clients.normal.turn(now)
            self._hosts.normal.turn(now)
        if now >= self._sweep:
            self._sweep = now + FORGET_SWEEP
            self.tally.topics.expire(now)
            self.tally.forget_unseen(now - FORGOTTEN_AFTER)

    def settle_newcomers(self) -> None:
        """Give rows to subjects that came since the last fold."""
        self._clients.start(self.tally.new_clients)
        self._hosts.start(self.tally.new_hosts)

    def due(self, now: float) -> tuple[Batch[ClientSubject] | None, Batch[HostSubject] | None]:
        """Who has news since the last call, and the quiet ones at a slower pace."""
        tally = self.tally
        if now > self._edge:  # what was counted did not happen just now
            self.fold(now)
        self._begin_fold(now)
        self._tick += 1
        quiet = self._quiet(tally.clients, now)
        clients = self._clients.look(tally.clients_to_fold, quiet, now)
        others = [*self._quiet(tally.hosts, now), *self._uneasy()]
        hosts = self._hosts.look(tally.hosts_to_fold, others, now)
        self._end_fold(now)
        none = np.empty((len(clients.subjects), 0), np.float32)
        held = [host.gauges for host in hosts.subjects]
        gauges = np.array(held, np.float32).reshape(len(held), Gauge.COUNT)
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
        return self._clients.normal.earned(_rows(clients))

    def _quiet(self, subjects: Registry[S], now: float) -> list[S]:
        """Whose turn it is to be judged without news."""
        awake = now - self._rests_after
        seldom = self._tick % RESTING_EVERY
        return [
            subject
            for subject in subjects.every(self._tick, QUIET_EVERY)
            if subject.last > awake or subject.connected or subject.row % RESTING_EVERY == seldom
        ]

    def _uneasy(self) -> list[HostSubject]:
        """Hosts whose gauges rose without events; those with half-open ones come again."""
        uneasy = self.tally.connections.uneasy
        hosts = list(uneasy)
        for host in hosts:
            if not host.gauges[Gauge.HALF_OPEN]:
                del uneasy[host]
        return hosts

    @staticmethod
    def _batch(side: _Side[S], look: _Look[S], gauges: Floats, now: float) -> Batch[S] | None:
        if not look.subjects or side.layout.sees_nothing:
            return None
        state = side.state(look, gauges, now)
        return Batch(
            role=side.role, subjects=look.subjects, state=state, vectors=side.layout.vectors(state)
        )


def _rows(subjects: Sequence[ClientSubject | HostSubject]) -> Rows:
    return np.array([subject.row for subject in subjects], np.intp)
