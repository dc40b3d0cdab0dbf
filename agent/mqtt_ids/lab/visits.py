"""Scripts of clients that come and go: sleepers, probes, people, phones, failing log-ins.

And the one script that acts on the broker itself: restarts and power cuts.
"""

import random
from collections.abc import Callable

import msgspec

from mqtt_ids.lab.actions import (
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Ping,
    Restart,
    Script,
    Subscribe,
    Unsubscribe,
    Vanish,
)
from mqtt_ids.lab.client import Part, Profile, ScriptMaker, each
from mqtt_ids.lab.habits import Say, burst, level_of, log_uniform
from mqtt_ids.lab.life import DAY, HOUR, Life

Span = tuple[float, float]
_KEYS = "abcdefghijklmnopqrstuvwxyz"


def sleeper(profile: Profile, says: tuple[Say, ...], period: float, jitter: float) -> ScriptMaker:
    """Each `period` seconds: CONNECT, subscribe and publish, DISCONNECT.

    Battery sensors, shell scripts, health checks.
    """

    def script(_: Clock, rng: random.Random) -> Script:
        connect = profile.connect()
        yield period * rng.random()
        while True:
            if (yield Open()) is None:
                yield rng.uniform(0.002, 0.2)
                if (yield connect) is None:
                    yield rng.uniform(0.001, 0.05)
                    if profile.filters:
                        yield Subscribe(profile.filters, (), profile.qos)
                    yield from each(burst(says, rng, 0.01))
                    yield rng.uniform(0.001, 0.3)
                    yield Disconnect()
            yield period * (1.0 + jitter * rng.uniform(-1.7, 1.7))

    return script


def port_probe(period: float) -> ScriptMaker:
    """Open and close without CONNECT each `period` seconds, as a supervisor's watchdog does."""

    def script(_: Clock, rng: random.Random) -> Script:
        yield period * rng.random()
        while True:
            if (yield Open()) is None:
                yield rng.uniform(0.0005, 0.02)
                yield Drop()
            yield period + rng.uniform(0.0, 0.2)

    return script


def set_up_test(
    name: Callable[[random.Random], str], login: tuple[str | None, str | None], per_day: float
) -> ScriptMaker:
    """Somebody tries the broker: a random id that lives a second, now and then some in a row."""

    def script(_: Clock, rng: random.Random) -> Script:
        while True:
            yield rng.expovariate(per_day / DAY)
            for _try in range(rng.choice((1, 1, 1, 2, 3))):
                if (yield Open()) is None:
                    yield rng.uniform(0.001, 0.05)
                    if (yield Connect(name(rng), *login)) is None:
                        if rng.random() < 0.5:  # noqa: PLR2004 - every other test subscribes
                            yield Subscribe((f"{name(rng)}/#",))
                        yield rng.uniform(0.05, 1.0)
                        yield Disconnect()
                yield rng.uniform(1.0, 20.0)

    return script


def failing_login(connect: Connect, period: float, lasts: Span, rests: Span) -> ScriptMaker:
    """One and the same wrong credential each `period` seconds, for a while, then again later."""

    def script(clock: Clock, rng: random.Random) -> Script:
        while True:
            yield log_uniform(rng, *rests)
            until = clock.now + log_uniform(rng, *lasts)
            while clock.now < until:
                if (yield Open()) is None:
                    yield rng.uniform(0.002, 0.05)
                    if (yield connect) is None:
                        yield Disconnect()
                yield period * rng.uniform(0.95, 1.05)

    return script


class Typist(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who types a password wrong: some log-ins, then the right one or giving up.

    `wrong` are how many log-ins fail (fewest, most), each with another password, `pauses`
    seconds apart; with `renames` each comes with an id of its own, as tools draw them.
    """

    name: Callable[[random.Random], str]
    login: tuple[str | None, str | None]
    per_day: float
    wrong: tuple[int, int]
    pauses: Span
    stays: Span
    filters: tuple[str, ...] = ()
    gives_up: float = 0.3
    renames: bool = True

    def script(self, clock: Clock, rng: random.Random) -> Script:
        """Try, now and then, until it is right or enough."""
        while True:
            yield rng.expovariate(self.per_day / DAY)
            name = self.name(rng)
            for _ in range(rng.randint(*self.wrong)):
                yield from self._log_in(name, self._slip(rng), rng)
                yield log_uniform(rng, *self.pauses)
                name = self.name(rng) if self.renames else name
            if rng.random() < self.gives_up:
                continue
            if (yield from self._log_in(name, self.login[1] or "", rng)):
                yield from self._stay(clock.now + log_uniform(rng, *self.stays), clock, rng)

    def _slip(self, rng: random.Random) -> str:
        """The password with a key too few, too many or another, or a different one altogether."""
        right = self.login[1] or ""
        at = rng.randrange(len(right) + 1)
        key = f"{rng.choice(_KEYS)}{rng.randint(0, 9)}"
        return rng.choice((right[:at] + key + right[at:], right[:at] + key + right[at + 1 :], key))

    def _log_in(self, name: str, password: str, rng: random.Random) -> Part[bool]:
        if (yield Open()) is not None:
            return False
        yield rng.uniform(0.002, 0.2)
        return (yield Connect(name, self.login[0], password)) is None

    def _stay(self, until: float, clock: Clock, rng: random.Random) -> Part[None]:
        if self.filters:
            yield Subscribe(self.filters)
        while clock.now < until:
            if isinstance((yield min(50.0, until - clock.now + rng.uniform(0.01, 1.0))), Lost):
                return
            yield Ping()
        yield Disconnect()


class Person:
    """A person with a tool such as MQTT Explorer, on some evenings: subscribes to everything."""

    def __init__(
        self,
        name: Callable[[random.Random], str],
        login: tuple[str | None, str | None],
        *,
        life: Life,
        per_day: float,
        stays: Span,
        filters: tuple[str, ...] = ("#", "$SYS/#"),
        commands: tuple[Say, ...] = (),
        keep_alive: int = 60,
    ) -> None:
        self._name, self._login, self._life = name, login, life
        self._per_day, self._stays, self._filters = per_day, stays, filters
        self._commands, self._keep_alive = commands, keep_alive

    def script(self, clock: Clock, rng: random.Random) -> Script:
        """Wait for a free evening, look, now and then publish, leave."""
        level = level_of(self._life, "people")
        while True:
            yield rng.expovariate(self._per_day / DAY)
            while level is not None and rng.random() > level(clock.now):
                yield rng.uniform(0.2, 3.0) * HOUR
            signal = yield Open()
            if signal is None:
                yield rng.uniform(0.001, 0.05)
                signal = yield Connect(self._name(rng), *self._login, self._keep_alive)
            if signal is None:
                yield from self._look(clock, rng)

    def _look(self, clock: Clock, rng: random.Random) -> Part[None]:
        yield Subscribe(self._filters)
        until = clock.now + log_uniform(rng, *self._stays)
        while clock.now < until:
            if isinstance((yield self._keep_alive * rng.uniform(0.4, 1.0)), Lost):
                return
            if self._commands and rng.random() < 0.1:  # noqa: PLR2004 - people mostly watch
                yield rng.choice(self._commands).once(rng)
            else:
                yield Ping()
        if rng.random() < 0.3:  # noqa: PLR2004 - some close the lid instead
            yield Drop()
        else:
            yield Unsubscribe(self._filters)
            yield Disconnect()


def phone(
    profile: Profile,
    says: tuple[Say, ...],
    *,
    addresses: tuple[str, ...],
    stays: Span,
    period: float,
) -> ScriptMaker:
    """A presence phone: flaky, leaves without DISCONNECT, comes back from another address.

    The old connection is often still there, so that its own id takes itself over.
    """

    def script(clock: Clock, rng: random.Random) -> Script:
        while True:
            signal = yield Open(rng.choice(addresses))
            if signal is None:
                yield rng.uniform(0.02, 0.5)
                signal = yield profile.connect()
            if signal is not None:
                yield rng.uniform(5.0, 60.0)
                continue
            if profile.filters:
                yield Subscribe(profile.filters, (), profile.qos)
            until = clock.now + log_uniform(rng, *stays)
            yield from _report(profile, says, period, until, clock, rng)
            yield rng.choice((Drop(), Vanish(), Vanish()))
            yield log_uniform(rng, 1.0, 1800.0)

    return script


def _report(
    profile: Profile,
    says: tuple[Say, ...],
    period: float,
    until: float,
    clock: Clock,
    rng: random.Random,
) -> Part[None]:
    limit = (profile.keep_alive or 3600) * 0.9
    due = clock.now
    while clock.now < until:
        if clock.now >= due:
            for say in says:
                yield say.once(rng)
            due = clock.now + rng.expovariate(1 / period)
        else:
            yield Ping()
        if isinstance((yield max(0.01, min(limit, due - clock.now))), Lost):
            return


def starts_later(script: ScriptMaker, after: Span, lasts: Span) -> ScriptMaker:
    """A client that is there only from `after` seconds on, and leaves for good after `lasts`."""

    def later(clock: Clock, rng: random.Random) -> Script:
        yield log_uniform(rng, *after)
        until = clock.now + log_uniform(rng, *lasts)
        inner = script(clock, rng)
        action = next(inner)
        while clock.now < until:
            action = inner.send((yield action))
        inner.close()
        yield Drop()

    return later


def caretaker(restart_mean: float, power_mean: float, down: Span) -> ScriptMaker:
    """Restarts the broker, and cuts the power, every so many seconds on average."""

    def script(_: Clock, rng: random.Random) -> Script:
        while True:
            gaps = (rng.expovariate(1 / restart_mean), rng.expovariate(1 / power_mean))
            yield min(gaps)
            power = gaps[1] < gaps[0]
            yield Restart(log_uniform(rng, *down) * (4.0 if power else 1.0), power)

    return script
