"""Plays scripts in virtual time against a modelled broker: events in time order, none left out.

The broker accepts or refuses by credential, lets a new connection take over an old one with the
same id, gives up a client after one and a half keep-alives of silence (MQTT 3.1.1, 3.1.2.10), and
closes a connection that breaks the protocol. It can be restarted. Messages are delivered only to
scripts that asked to be woken by their topic.
"""

import collections
import heapq
import itertools
import math
import random
from collections.abc import Iterable, Iterator
from typing import Final

from mqtt_ids.events import (
    AnyEvent,
    Closed,
    Disconnected,
    Malformed,
    Opened,
    Pinged,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.lab.actions import (
    Action,
    Actor,
    Clock,
    Connect,
    Disconnect,
    Drop,
    Lost,
    Open,
    Ping,
    Publish,
    Restart,
    Send,
    Signal,
    Subscribe,
    Unsubscribe,
    Vanish,
    Woken,
)
from mqtt_ids.lab.broker import Link, Rules, made_up_id

_LATENCY: Final = 0.003  # seconds from one client's PUBLISH to another's
_BAD_CREDENTIALS: Final = 5
_BAD_IDENTIFIER: Final = 2
_NONE: Final = Lost("none")


class _Run:
    """One script being performed."""

    __slots__ = ("actor", "inbox", "link", "script", "ticket")

    def __init__(self, actor: Actor, clock: Clock) -> None:
        self.actor = actor
        self.script = actor.script(clock, random.Random(actor.seed))
        self.link: Link | None = None
        self.ticket = 0  # number of the one valid entry of this script on the agenda
        self.inbox: collections.deque[Woken] = collections.deque()


_Entry = tuple[float, int, _Run | Link, Signal | None]
_SILENT: Final = Lost("timeout")  # marks an entry: the keep-alive has run out


def play(
    actors: Iterable[Actor], rules: Rules, *, start: float = 0.0, end: float, finish: bool = True
) -> Iterator[AnyEvent]:
    """The events of these actors from `start` to `end`, in time order.

    With `finish` the broker closes what is still open at `end`, so that every `Opened` has its
    `Closed`. An actor's own `start` is an absolute time on the same clock.
    """
    return _Stage(actors, rules, float(start)).events(float(end), finish=finish)


class _Stage:
    """The broker's and the player's state."""

    def __init__(self, actors: Iterable[Actor], rules: Rules, start: float) -> None:
        self._rules = rules
        self._clock = Clock(start)
        self._agenda: list[_Entry] = []
        self._numbers = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._owners: dict[int, _Run] = {}  # who speaks on a connection; no one who vanished
        self._sessions: dict[str, Link] = {}
        self._wakes: dict[str, list[_Run]] = {}
        self._down_until = -math.inf
        self._seq = 0
        self._signal: Signal | None = None  # the answer to the action just performed
        for actor in actors:
            run = _Run(actor, self._clock)
            self._wake(run, max(start, actor.start), None)

    def events(self, end: float, *, finish: bool) -> Iterator[AnyEvent]:
        """Perform all scripts until `end`."""
        agenda, clock = self._agenda, self._clock
        while agenda and agenda[0][0] < end:
            now, ticket, run, signal = heapq.heappop(agenda)
            clock.now = now
            if isinstance(run, Link):
                yield from self._expire(run, now)
            elif ticket == run.ticket:
                yield from self._resume(run, signal, now)
        if finish:
            clock.now = end
            for link in list(self._links.values()):
                yield from self._close(link, end, "broker")

    def _resume(self, run: _Run, signal: Signal | None, now: float) -> Iterator[AnyEvent]:
        """Perform one script up to its next wait. The hot path: PUBLISH is done in line."""
        if signal is _SILENT and run.link is not None:
            yield from self._close(run.link, now, "broker")
        elif type(signal) is Woken:
            run.inbox.popleft()
        send, wakes = run.script.send, self._wakes
        while True:
            try:
                action = send(signal)
            except StopIteration:
                if run.link is not None:  # nobody is left to speak on it
                    self._vanish(run, run.link)
                return
            link = run.link
            if type(action) is float:
                if not run.inbox:
                    self._sleep(run, now + action, now)
                    return
                signal = run.inbox.popleft()
            elif type(action) is Publish and link is not None and link.client_id is not None:
                yield link.publish(action, now)
                link.deadline = now + link.patience
                signal = None
                if action.topic in wakes:
                    self._deliver(action.topic, run, now)
            else:
                self._signal = None
                yield from self._do(run, action, now)
                signal = self._signal

    def _sleep(self, run: _Run, due: float, now: float) -> None:
        """Wait until `due`, or until the broker has heard nothing for too long."""
        link = run.link
        self._seq = run.ticket = ticket = self._seq + 1
        if link is not None and due > link.deadline:
            heapq.heappush(self._agenda, (max(now, link.deadline), ticket, run, _SILENT))
        else:
            heapq.heappush(self._agenda, (due, ticket, run, None))

    def _wake(self, run: _Run, when: float, signal: Signal | None) -> None:
        self._seq = run.ticket = self._seq + 1
        heapq.heappush(self._agenda, (when, run.ticket, run, signal))

    def _lose(self, run: _Run, now: float, why: Lost) -> None:
        run.link = None
        run.inbox.clear()
        self._wake(run, now, why)

    def _deliver(self, topic: str, publisher: _Run, now: float) -> None:
        for run in self._wakes[topic]:
            if run is publisher or run.link is None or run.link.client_id is None:
                continue
            run.inbox.append(Woken(topic))
            if len(run.inbox) == 1:
                self._wake(run, now + _LATENCY, run.inbox[0])

    def _do(self, run: _Run, action: Action, now: float) -> Iterator[AnyEvent]:
        if isinstance(action, int):
            raise TypeError("a wait is a float")
        if isinstance(action, Open):
            yield from self._open(run, action, now)
        elif isinstance(action, Restart):
            yield from self._restart(action, now)
        elif run.link is None:
            self._signal = _NONE
        elif isinstance(action, Connect):
            yield from self._connect(run, run.link, action, now)
        elif isinstance(action, Send):
            yield from self._send(run.link, action, now)
        elif isinstance(action, Drop):
            yield from self._close(run.link, now, "client")
        elif isinstance(action, Vanish):
            self._vanish(run, run.link)
        elif run.link.client_id is None:
            self._signal = _NONE
        else:
            yield from self._packet(run, run.link, action, now)

    def _packet(self, run: _Run, link: Link, action: Action, now: float) -> Iterator[AnyEvent]:
        """A whole packet other than CONNECT and PUBLISH on an accepted connection."""
        link.deadline = now + link.patience
        if isinstance(action, Ping):
            yield Pinged(**link.seen(now))
        elif isinstance(action, Subscribe):
            yield Subscribed(**link.seen(now), filters=action.filters)
            for topic in action.wakes:
                listeners = self._wakes.setdefault(topic, [])
                if run not in listeners:
                    listeners.append(run)
        elif isinstance(action, Unsubscribe):
            yield Unsubscribed(**link.seen(now), filters=action.filters)
        elif isinstance(action, Disconnect):
            yield Disconnected(**link.seen(now))
            yield from self._close(link, now, "client")
        else:
            raise TypeError(f"a script yielded {action!r}, which is no action")

    def _open(self, run: _Run, action: Open, now: float) -> Iterator[AnyEvent]:
        if run.link is not None:
            yield from self._close(run.link, now, "client")
        if now < self._down_until:
            self._signal = Lost("unreachable")
            return
        limit = self._rules.connect_timeout
        address = action.address or run.actor.address
        link = Link(next(self._numbers), address, math.inf if limit is None else now + limit)
        run.link = self._links[link.number] = link
        self._owners[link.number] = run
        truth = run.actor.truth
        if truth is not None:
            truth.connections.add(link.number)
            truth.addresses.add(address)
        yield Opened(**link.seen(now))

    def _connect(self, run: _Run, link: Link, action: Connect, now: float) -> Iterator[AnyEvent]:
        if link.client_id is not None:
            yield from self._send(link, Send(b"", "second-connect"), now)
            return
        truth = run.actor.truth
        if truth is not None and action.client_id:
            truth.client_ids.add(action.client_id)
        code = 0 if self._rules.accept(action) else _BAD_CREDENTIALS
        if not action.client_id and not action.clean:
            code = _BAD_IDENTIFIER
        if code:
            yield link.refuse(action, code, self._rules, now)
            yield from self._close(link, now, "broker")
            self._signal = Lost("refused")
            return
        old = self._sessions.get(action.client_id)
        connected = link.accept(action, now)
        self._sessions[action.client_id or made_up_id(link)] = link
        yield connected
        if old is not None:  # its end is told after the answer to its rival, as our sensors do
            loser = self._owners.get(old.number)
            yield from self._close(old, now, "broker")
            if loser is not None:
                self._lose(loser, now, Lost("takeover"))

    def _send(self, link: Link, action: Send, now: float) -> Iterator[AnyEvent]:
        link.partial = action.fault is None
        if action.fault is not None:
            yield Malformed(**link.seen(now), reason=action.fault)
            yield from self._close(link, now, "broker")
            self._signal = Lost("malformed")

    def _vanish(self, run: _Run, link: Link) -> None:
        """Nobody speaks on this connection any more; the broker is to find out."""
        run.link = None
        run.inbox.clear()
        del self._owners[link.number]
        if link.deadline < math.inf:
            self._seq += 1
            heapq.heappush(self._agenda, (link.deadline, self._seq, link, None))

    def _expire(self, link: Link, now: float) -> Iterator[AnyEvent]:
        """The broker gives up a client that vanished, if it still holds the connection."""
        if link.number in self._links:
            yield from self._close(link, now, "broker")

    def _restart(self, action: Restart, now: float) -> Iterator[AnyEvent]:
        self._down_until = now + action.down
        why = Lost("power" if action.power else "restart")
        for link in list(self._links.values()):
            owner = self._owners.get(link.number)
            yield from self._close(link, now, "broker")
            if owner is not None:
                self._lose(owner, now, why)

    def _close(self, link: Link, now: float, by: str) -> Iterator[AnyEvent]:
        """The end of a connection; what to tell its script is the caller's to say."""
        if link.partial:
            yield Malformed(**link.seen(now), reason="truncated")
        yield Closed(**link.seen(now), by=by)
        del self._links[link.number]
        if self._sessions.get(link.client_id or "") is link:
            del self._sessions[link.client_id or ""]
        owner = self._owners.pop(link.number, None)
        if owner is not None:
            owner.link = None
