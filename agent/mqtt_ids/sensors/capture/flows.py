"""All connections of a capture: bounded in number, in bytes held, and in how long they are idle."""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from mqtt_ids.sensors.capture.flow import Flow, Way

MOST_FLOWS: Final = 65_536
LET_GO: Final = 4_096  # at once, where there are too many
MOST_HELD: Final = 32 * 1024 * 1024  # bytes of what is unfinished, of all flows together
LITTLE: Final = 512  # bytes that a flow may hold outside the books
MOST_DUE: Final = 65_536
MOST_LISTENERS: Final = 1_024
ANSWERED_WITHIN: Final = 1.0  # seconds of capture time
SWEEP: Final = 60.0  # seconds of capture time
VISITS: Final = 64  # flows that are swept for each frame read at most, so that frames stay O(1)
GRACE: Final = 1.5  # keep-alives that a client may be silent [MQTT-3.1.2-24]
IDLE: Final = 60.0  # seconds beyond them; after the end; and for a handshake to go on
LONG_IDLE: Final = 7_200.0  # seconds, where there is no keep-alive


class Flows:
    """The flows by their two ways. Each method is O(1), `sweep` and `add` amortised."""

    def __init__(self, most: int = MOST_FLOWS, most_held: int = MOST_HELD) -> None:
        self.ways: dict[Way, tuple[Flow, bool]] = {}  # with: is it the client's way?
        self.held = 0  # bytes in the books
        self._most = most
        self._most_held = most_held
        self._holders: OrderedDict[Flow, int] = OrderedDict()
        self._due: deque[tuple[float, Flow]] = deque()
        self._sweep_at = -math.inf
        self._swept = -math.inf  # frames that were read before the last sweep
        self.alarm = -math.inf  # when `pass_time` has something to do
        self.tls: set[tuple[bytes, int]] = set()  # addresses and ports that speak it

    def __len__(self) -> int:
        return len(self.ways) // 2

    def __iter__(self) -> Iterator[Flow]:
        return (flow for flow, is_client in self.ways.values() if is_client)

    def add(self, flow: Flow, now: float) -> None:
        """A new flow. Where there are too many, the idlest have to go."""
        if len(self) >= self._most:
            self._make_room(now)
        src, sport, dst, dport = flow.way
        self.ways[flow.way] = (flow, True)
        self.ways[dst, dport, src, sport] = (flow, False)

    def remove(self, flow: Flow, now: float, by: str) -> None:
        """Let go of a flow; it is over, unless it was before."""
        flow.close(now, by)
        src, sport, dst, dport = flow.way
        del self.ways[flow.way]
        del self.ways[dst, dport, src, sport]
        self._enter(flow, 0)

    def settle(self, flow: Flow, now: float) -> None:
        """Keep the books, after a segment of `flow`."""
        talk = flow.talk
        if talk is not None and talk.due:
            talk.due = False
            self._remind(flow, now)
            if talk.encrypted and len(self.tls) < MOST_LISTENERS:
                self.tls.add(flow.way[2:])
        held = flow.held
        if held > LITTLE or flow.booked:
            self._enter(flow, held if held > LITTLE else 0)
            while self.held > self._most_held:
                oldest, _ = self._holders.popitem(last=False)
                self.held -= oldest.booked
                oldest.booked = 0
                oldest.give_way(now)

    def pass_time(self, now: float, frames: int) -> None:
        """See to what was due by `now`, when so many frames were read."""
        due = self._due
        while due and due[0][0] <= now:
            due.popleft()[1].late(now)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            if len(self) <= VISITS * (frames - self._swept):
                self._swept = frames
                self._sweep(now)
        self.alarm = min(due[0][0], self._sweep_at) if due else self._sweep_at

    def finish(self, now: float) -> None:
        """Nothing more will come: hand on all that waits. What is open stays open."""
        for flow in list(self):
            flow.flush(now)
        while self._due:
            self._due.popleft()[1].late(now)

    def _remind(self, flow: Flow, now: float) -> None:
        """Ask again in a second of capture time."""
        self._due.append((now + ANSWERED_WITHIN, flow))
        self.alarm = min(self.alarm, now + ANSWERED_WITHIN)
        if len(self._due) > MOST_DUE:
            self._due.popleft()[1].late(now)

    def _enter(self, flow: Flow, held: int) -> None:
        self.held += held - flow.booked
        flow.booked = held
        if held:
            self._holders.setdefault(flow, 0)
        else:
            self._holders.pop(flow, None)

    def _sweep(self, now: float) -> None:
        for flow in list(self):
            flow.settle(now)
            if now - flow.last > _patience(flow):
                self.remove(flow, now, "broker")

    def _make_room(self, now: float) -> None:
        """Let go of those that never completed their handshake, and then of the longest idle."""
        order = sorted(self, key=_worth)
        for flow in islice(order, min(LET_GO, max(len(order) // 16, 1))):
            self.remove(flow, now, "ids")


def _patience(flow: Flow) -> float:
    """Seconds without a segment after which a connection must be over."""
    talk = flow.talk
    if talk is None or flow.closed:
        return IDLE
    return GRACE * talk.keep_alive + IDLE if talk.keep_alive else LONG_IDLE


def _worth(flow: Flow) -> tuple[bool, float]:
    """Which flow is rather kept than another."""
    return flow.talk is not None and not flow.closed, flow.last
