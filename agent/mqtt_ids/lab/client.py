"""The script of a client that stays connected: CONNECT, habits, pings, losses, reconnection."""

import heapq
import math
import random
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Literal, TypeVar

import msgspec

from mqtt_ids.lab.actions import (
    Action,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Ping,
    Script,
    Signal,
    Step,
    Subscribe,
    Vanish,
)
from mqtt_ids.lab.habits import Habit, Say, Turns, burst, log_uniform
from mqtt_ids.lab.life import Life

_T = TypeVar("_T")
ScriptMaker = Callable[[Clock, random.Random], Script]
Part = Generator[Action, Signal | None, _T]
_Entry = tuple[float, int, tuple[Step, ...], Turns | None]

_OPEN, _PING, _DISCONNECT, _DROP, _VANISH = Open(), Ping(), Disconnect(), Drop(), Vanish()
_LEAVE: Mapping[str, Action] = {"disconnect": _DISCONNECT, "drop": _DROP, "vanish": _VANISH}
_ROUND_TRIP = (0.001, 0.03)
_INSTANT = 1e-6


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """What a client publishes after a message on a topic: `says`, `gap` seconds apart."""

    says: tuple[Say, ...]
    after: tuple[float, float] = (0.01, 0.3)
    gap: float = 0.0


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """How a client leaves now and then: every `mean` seconds on average, for `down` seconds."""

    mean: float
    down: tuple[float, float]
    manner: Literal["disconnect", "drop", "vanish"] = "drop"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How a client connects and stays connected.

    `hello` is published after each CONNECT. `pings_always` pings each keep-alive whatever else
    was sent (paho, PubSubClient); otherwise only when idle for `ping_at` of the keep-alive.
    `retry` is the first and the longest wait before it connects again. `queues` is how many of
    the messages that fell due while it was away it sends late, `hello_gap` apart, oldest first.
    """

    client_id: str
    username: str | None = None
    password: str | None = None
    keep_alive: int = 60
    clean: bool = True
    will_topic: str | None = None
    version: int = 4
    filters: tuple[str, ...] = ()
    subscribe_each: bool = False
    qos: int = 0
    hello: tuple[Say, ...] = ()
    hello_gap: float = 0.02
    reactions: Mapping[str, Reaction] = {}
    outages: tuple[Outage, ...] = ()
    retry: tuple[float, float] = (1.0, 30.0)
    boots: tuple[float, float] = (2.0, 20.0)
    pings_always: bool = False
    ping_at: float = 1.0
    queues: int = 0

    def __repr__(self) -> str:
        """Without the password."""
        return f"Profile(client_id={self.client_id!r}, username={self.username!r})"

    def connect(self) -> Connect:
        """Its CONNECT."""
        return Connect(
            self.client_id,
            self.username,
            self.password,
            self.keep_alive,
            self.clean,
            self.will_topic,
            self.version,
        )


def client(profile: Profile, habits: tuple[Habit, ...], life: Life) -> ScriptMaker:
    """The script of such a client, performed without end."""

    def script(clock: Clock, rng: random.Random) -> Script:
        return _Client(profile, habits, life, clock, rng).perform()

    return script


def each(actions: Iterable[Action]) -> Part[None]:
    """Perform one after the other, whatever comes of each."""
    for action in actions:  # noqa: UP028 - a tuple cannot be sent the signals
        yield action


class _Client:
    """One performance of a client's script."""

    def __init__(
        self,
        profile: Profile,
        habits: tuple[Habit, ...],
        life: Life,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._rng = rng
        self._connect = profile.connect()
        self._idle = profile.keep_alive * profile.ping_at if profile.keep_alive else math.inf
        self._habits, self._life = habits, life
        self._agenda: list[_Entry] = []
        self._count = 0

    def perform(self) -> Script:
        """Connect, stay, and connect again, without end."""
        self._plan()
        while True:
            yield from self._enter()
            ended = yield from self._stay()
            yield from self._rest(ended)

    def _plan(self) -> None:
        """Begin all habits, from the start or from power-on."""
        self._agenda.clear()
        for habit in self._habits:
            turns = habit.turns(self._clock, self._life, self._rng)
            gap, steps = next(turns)
            self._add(self._clock.now + gap, steps, turns)

    def _add(self, due: float, steps: tuple[Step, ...], turns: Turns | None) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (due, self._count, steps, turns))

    def _enter(self) -> Part[None]:
        """Try until the broker accepts."""
        wait, longest = self._profile.retry
        while True:
            signal = yield _OPEN
            if signal is None:
                signal = yield self._rng.uniform(*_ROUND_TRIP)
                if signal is None:
                    signal = yield self._connect
            if signal is None:
                return
            yield wait * self._rng.uniform(0.8, 1.2)
            wait = min(wait * 2, longest)

    def _stay(self) -> Part[Lost | Outage]:
        """Be connected until it is lost or an outage is due; say which."""
        leave_at, outage = self._next_outage()
        profile = self._profile
        if profile.filters:
            yield from self._subscribe()
        lost = yield from self._send(burst(profile.hello, self._rng, profile.hello_gap))
        missed = self._missed()
        if lost is None and missed:
            lost = yield from self._send(missed)
        clock, agenda, ping_at = self._clock, self._agenda, self._clock.now + self._idle
        while lost is None:
            due = agenda[0][0] if agenda else math.inf
            target = min(due, leave_at, ping_at)
            wait = target - clock.now
            signal = (yield wait) if wait > _INSTANT else None
            if signal is not None:
                lost = self._heard(signal)
            elif target == due:
                steps = self._take()
                for step in steps:
                    signal = yield step
                    if signal is not None:
                        lost = self._heard(signal)
                if steps and not self._profile.pings_always:
                    ping_at = clock.now + self._idle
            elif target == leave_at and outage is not None:
                return outage
            else:
                yield _PING
                ping_at = clock.now + self._idle
        return lost

    def _take(self) -> tuple[Step, ...]:
        """The steps that are due; their habit's next turn takes their place."""
        due, _, steps, turns = self._agenda[0]
        if turns is None:
            heapq.heappop(self._agenda)
        else:
            gap, coming = next(turns)
            self._count += 1
            heapq.heapreplace(self._agenda, (due + gap, self._count, coming, turns))
        return steps

    def _subscribe(self) -> Part[None]:
        profile = self._profile
        wakes = tuple(profile.reactions)
        if not profile.subscribe_each:
            yield Subscribe(profile.filters, wakes, profile.qos)
            return
        for place, one in enumerate(profile.filters):
            yield Subscribe((one,), wakes if place == 0 else (), profile.qos)

    def _send(self, steps: tuple[Step, ...]) -> Part[Lost | None]:
        for step in steps:
            signal = yield step
            lost = None if signal is None else self._heard(signal)
            if lost is not None:
                return lost
        return None

    def _missed(self) -> tuple[Step, ...]:
        """Take off what was due while there was no connection; what is to be sent late."""
        now, room, late = self._clock.now, self._profile.queues, list[Step]()
        while self._agenda and self._agenda[0][0] < now:
            for step in self._take():
                if len(late) < 2 * room and not isinstance(step, float):
                    late += (step, self._profile.hello_gap)
        return tuple(late)

    def _heard(self, signal: Signal) -> Lost | None:
        """React to a message; a loss is the caller's to deal with."""
        if isinstance(signal, Lost):
            return signal
        reaction = self._profile.reactions.get(signal.topic)
        if reaction is not None:
            due = self._clock.now + self._rng.uniform(*reaction.after)
            self._add(due, burst(reaction.says, self._rng, reaction.gap), None)
        return None

    def _next_outage(self) -> tuple[float, Outage | None]:
        draws = [(self._rng.expovariate(1 / each.mean), each) for each in self._profile.outages]
        if not draws:
            return math.inf, None
        gap, outage = min(draws, key=lambda draw: draw[0])
        return self._clock.now + gap, outage

    def _rest(self, ended: Lost | Outage) -> Part[None]:
        """Go away as the outage says, or stay away for as long as the loss asks for."""
        rng, profile = self._rng, self._profile
        if isinstance(ended, Outage):
            yield _LEAVE[ended.manner]
            yield log_uniform(rng, *ended.down)
        elif ended.reason == "power":
            self._plan()
            yield log_uniform(rng, *profile.boots)
        else:
            yield profile.retry[0] * rng.uniform(0.2, 1.2)
