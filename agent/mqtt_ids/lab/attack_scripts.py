"""The scripts that attackers perform, one function for each way to attack."""

import math
import random
from collections.abc import Callable

import msgspec

from mqtt_ids.lab import wire
from mqtt_ids.lab.actions import (
    Action,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Ping,
    Publish,
    Script,
    Send,
    Signal,
    Subscribe,
)
from mqtt_ids.lab.client import Part, ScriptMaker, each
from mqtt_ids.lab.fuzz import ACCEPTED, AFTER_CONNECT, BEFORE_CONNECT

_OPEN, _PING, _DISCONNECT, _DROP = Open(), Ping(), Disconnect(), Drop()
_EVEN = 0.5
_BATCH_PACE = 2_000.0  # above so many messages a second they come in batches, as TCP brings them


def session(connect: Callable[[], Connect], act: ScriptMaker, end: float) -> ScriptMaker:
    """Connects, acts, and does so again when the connection is lost, until `end`."""

    def script(clock: Clock, rng: random.Random) -> Script:
        hello = connect()
        while clock.now < end:
            if (yield _OPEN) is None:
                yield rng.uniform(0.001, 0.02)
                if (yield hello) is None:
                    yield rng.uniform(0.001, 0.02)
                    yield from act(clock, rng)
                    yield _DROP if rng.random() < _EVEN else _DISCONNECT
            yield rng.uniform(0.5, 3.0)

    return script


def beat(rate: float, one: Callable[[], Publish], end: float) -> ScriptMaker:
    """Publishes `rate` times a second until `end` or until the connection is lost."""
    batch = max(1, round(rate / _BATCH_PACE))
    gap = batch / rate

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            for _ in range(batch):
                if type((yield one())) is Lost:
                    return
            if type((yield gap * rng.uniform(0.8, 1.2))) is Lost:
                return

    return script


def looks(wanted: list[tuple[str, ...]], end: float) -> ScriptMaker:
    """Subscribes to each, then listens and pings until `end`."""

    def script(clock: Clock, rng: random.Random) -> Script:
        for filters in wanted:
            yield Subscribe(filters)
            yield rng.uniform(0.001, 0.2)
        while clock.now < end:
            if type((yield min(50.0, max(0.01, end - clock.now)))) is Lost:
                return
            yield _PING

    return script


def storm(
    connect: Callable[[], Connect], one: Callable[[], Publish], rate: float, end: float
) -> ScriptMaker:
    """Connects, says one thing and goes, `rate` times a second until `end`."""

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            began = clock.now
            if (yield _OPEN) is None and (yield connect()) is None:
                yield one()
                yield rng.uniform(0.0005, 0.01)
                yield _DROP if rng.random() < _EVEN else _DISCONNECT
            yield max(0.0005, rng.expovariate(rate) - (clock.now - began))

    return script


def hold(connect: Connect, end: float) -> ScriptMaker:
    """A whole CONNECT, then silence until `end`; again where the broker ends it before."""

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            if (yield _OPEN) is None:
                yield rng.uniform(0.0, 0.01)
                if (yield connect) is None:
                    yield max(0.01, end - clock.now)
            yield _DROP
            yield rng.uniform(0.2, 2.0)

    return script


def half_open(mode: str, connect: Connect, end: float) -> ScriptMaker:
    """A connection without a whole CONNECT; `mode` is `empty`, `half-open` or `drip`."""
    whole = wire.connect(connect)

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            gone = (yield _OPEN) is not None
            if not gone and mode != "empty":
                yield rng.uniform(0.0, 0.05)
                sent = 1 if mode == "drip" else 5
                yield Send(whole[:sent])
                while mode == "drip" and clock.now < end and sent < len(whole) - 1 and not gone:
                    gone = type((yield rng.uniform(4.0, 6.0))) is Lost
                    yield Send(whole[sent : sent + 1])
                    sent += 1
            if not gone:
                yield max(0.01, end - clock.now)
            yield _DROP
            yield rng.uniform(0.2, 2.0)

    return script


def fuzzer(connect: Callable[[], Connect], rate: float, broken: float, end: float) -> ScriptMaker:
    """Mixes broken packets, oddities, empty ids, and closes without DISCONNECT."""

    def script(clock: Clock, rng: random.Random) -> Script:
        before, after, odd = (list(t.values()) for t in (BEFORE_CONNECT, AFTER_CONNECT, ACCEPTED))
        while clock.now < end:
            began, breaks = clock.now, rng.random() < broken
            yield _OPEN
            yield rng.uniform(0.001, 0.01)
            if breaks and rng.random() < len(before) / (len(before) + len(after)):
                yield from each(rng.choice(before)(rng))
            else:
                hello = connect()
                if rng.random() < 0.1:  # noqa: PLR2004 - some leave the id to the broker
                    hello = msgspec.structs.replace(hello, client_id="")
                yield hello
                yield from each(rng.choice(after if breaks else odd)(rng))
            yield rng.uniform(0.001, 0.02)
            yield _DROP
            yield max(0.005, rng.expovariate(rate) - (clock.now - began))

    return script


def guesses(guess: Callable[[], Connect], gap: float, jitter: float, end: float) -> ScriptMaker:
    """One guess each `gap` seconds (`jitter` is a share of it), each on a new connection."""

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            if (yield _OPEN) is None:
                yield rng.uniform(0.001, 0.02)
                if (yield guess()) is None:
                    yield _DISCONNECT
            yield gap * (1.0 + jitter * rng.uniform(-1.0, 1.0))

    return script


def fight(connect: Connect, patience: float, end: float) -> ScriptMaker:
    """Takes an id over, again `patience` seconds after each time that it is taken back."""

    def script(clock: Clock, rng: random.Random) -> Script:
        while clock.now < end:
            if (yield _OPEN) is None:
                yield rng.uniform(0.001, 0.02)
                if (yield connect) is None:
                    lost: Signal | None = None
                    while lost is None and clock.now < end:
                        lost = yield min(50.0, max(0.01, end - clock.now))
                        yield _PING
            yield patience * rng.uniform(0.5, 1.5)
        yield _DROP

    return script


def silenced(original: ScriptMaker, start: float, end: float, leave: Action = _DROP) -> ScriptMaker:
    """A client that is cut short at `start`, by `leave`, and begins afresh at `end`."""

    def script(clock: Clock, rng: random.Random) -> Script:
        inner = original(clock, rng)
        signal: Signal | None = None
        while clock.now < start:
            action = inner.send(signal)
            if isinstance(action, float):
                action = min(action, max(0.0, start - clock.now) + 1e-6)
            signal = yield action
        inner.close()
        yield leave
        yield max(0.01, end - clock.now)
        yield from original(clock, rng)

    return script


def turned(original: ScriptMaker, extra: ScriptMaker, start: float, end: float) -> ScriptMaker:
    """A client whose habits go on, and who does something more between `start` and `end`.

    When its connection is lost the extra part ends, and begins afresh soon after.
    """

    def script(clock: Clock, rng: random.Random) -> Script:
        inner = original(clock, rng)
        own_due = yield from _until_wait(inner, None, clock)
        more: Script | None = None
        more_due = start
        while True:
            signal = yield max(0.0, min(own_due, more_due) - clock.now)
            if signal is not None or clock.now >= own_due:
                own_due = yield from _until_wait(inner, signal, clock)
            elif clock.now >= more_due:
                more = more or extra(clock, rng)
                more_due = yield from _until_wait(more, None, clock)
                if more_due == math.inf and clock.now < end:
                    more, more_due = None, clock.now + rng.uniform(0.2, 2.0)

    return script


def _until_wait(inner: Script, signal: Signal | None, clock: Clock) -> Part[float]:
    """Perform up to the next wait; the time when that is over, infinity where nothing is left."""
    try:
        action = inner.send(signal)
        while not isinstance(action, float):
            answer = yield action
            action = inner.send(answer)
    except StopIteration:
        return math.inf
    return clock.now + action
