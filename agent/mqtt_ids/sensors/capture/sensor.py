"""The capture sensor: frames in, the events of every connection on the chosen ports out.

    frame ─► segment ─► flow (both streams in order) ─► conversation ─► events

It brings its own clock: the time of an event is that of the frame that completed it. Whatever a
capture says, what is held for it is bounded, and each frame costs O(1).
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent
from mqtt_ids.packets import PacketType
from mqtt_ids.peer import Peer
from mqtt_ids.sensors.capture.clock import Clock
from mqtt_ids.sensors.capture.conversation import Conversation
from mqtt_ids.sensors.capture.figures import MALFORMED, Figures
from mqtt_ids.sensors.capture.flow import RST, SYN, Flow, Way
from mqtt_ids.sensors.capture.flows import Flows
from mqtt_ids.sensors.capture.frame import Frame
from mqtt_ids.sensors.capture.layers import Segment, address, is_known, segment
from mqtt_ids.sensors.capture.speech import Speech

PORTS: Final = frozenset({1883})
WEBSOCKET_PORTS: Final = frozenset({8080, 8083, 9001})
TLS_PORTS: Final = frozenset({8883})

MOST_ENCRYPTED: Final = 65_536  # connections that are counted: each is remembered, to count it once

_ACK: Final = 0x10


class Capture:
    """Reads frames, of one capture or of several that follow each other, as one sensor.

    `figures` holds what was counted so far, `first` and `last` the capture's own times of the
    first and the last frame.
    """

    def __init__(
        self,
        *,
        ports: frozenset[int] = PORTS,
        websocket_ports: frozenset[int] = WEBSOCKET_PORTS,
    ) -> None:
        """A client whose first words on any of these ports are HTTP's speaks WebSocket."""
        self.figures = Figures()
        self.first: float | None = None
        self.last: float | None = None
        self._number = 0
        self._websocket_ports = websocket_ports - ports
        self._tls_ports = TLS_PORTS - ports - websocket_ports
        self._listened = ports | websocket_ports | TLS_PORTS
        self._key = secrets.token_bytes(32)
        self._clock = Clock()
        self._flows = Flows()
        self._encrypted: set[Way] = set()
        self._out: list[AnyEvent] = []

    @property
    def packets(self) -> Counter[PacketType | None]:
        """Packets of both directions by type, the malformed under None."""
        counts = enumerate(self.figures.packets)
        return Counter(
            {None if kind == MALFORMED else PacketType(kind): n for kind, n in counts if n}
        )

    @property
    def frames(self) -> int:
        """How many frames were read so far."""
        return self.figures.frames

    def wall(self, time: float) -> float:
        """What the capture's clock said at the time of an event."""
        return self._clock.wall(time)

    def read(  # noqa: C901, PLR0915 - hot: nothing is called that need not be
        self, frames: Iterable[Frame]
    ) -> Iterator[AnyEvent]:
        """The events of `frames`, each as soon as it is known; their times never decrease.

        What is still open at the end stays open: `read` can go on with the next capture. A
        CaptureError of `frames` is raised after the events of what could be read.
        """
        out, figures, flows = self._out, self.figures, self._flows
        ways, advance = flows.ways, self._clock.advance
        failure: CaptureError | None = None
        try:
            for time, link, wire, data in frames:
                figures.frames += 1
                self.last = time
                if self.first is None:
                    self.first = time
                now = advance(time)
                if now >= flows.alarm:
                    flows.pass_time(now, figures.frames)
                    if out:  # this frame may have nothing more to say
                        yield from out
                        out.clear()
                found = segment(link, data, wire)
                if found is None:
                    if not is_known(link):
                        figures.unreadable[link] += 1
                    continue
                way = ways.get(found[:4])
                if way is None or found[6] & SYN:
                    way = self._begin(found, now, way)
                    if way is None:
                        continue
                figures.segments += 1
                flow, from_client = way
                flow.take(found, now, from_client=from_client)
                if found[7] or (flow.talk is not None and flow.talk.due):
                    flows.settle(flow, now)
                if out:
                    yield from out
                    out.clear()
        except CaptureError as error:
            failure = error
        flows.finish(self._clock.now)
        yield from out
        out.clear()
        if failure is not None:
            raise failure

    def _begin(
        self, found: Segment, now: float, known: tuple[Flow, bool] | None
    ) -> tuple[Flow, bool] | None:
        """The flow of a segment that begins one, or of one whose beginning was not seen."""
        if known is not None:
            if not known[0].is_over_with(found, now, from_client=known[1]):
                return known
            self._flows.remove(known[0], now, "client")
        from_client = self._is_from_client(found)
        if from_client is None:
            return None
        src, sport, dst, dport = found[:4]
        way = (src, sport, dst, dport) if from_client else (dst, dport, src, sport)
        if way[2:] in self._flows.tls or way[3] in self._tls_ports:
            self._note_encrypted(way)
            return None
        self.figures.connections += 1
        flow = Flow(way, self._meet, now, whole=found.flags & SYN != 0)
        self._flows.add(flow, now)
        return flow, from_client

    def _is_from_client(self, found: Segment) -> bool | None:
        """Whether the client sent a segment of a flow that is not known; None: not worth one."""
        to_us, from_us = found.dport in self._listened, found.sport in self._listened
        if found.flags & SYN:
            from_client = not found.flags & _ACK
            return from_client if (to_us if from_client else from_us) else None
        if found.flags & RST or not (found.data or found.missing):
            return None
        return to_us if to_us or from_us else None

    def _meet(self, flow: Flow) -> Conversation:
        """The conversation of a flow whose handshake is complete, or was not seen."""
        src, sport, _, dport = flow.way
        self._number += 1
        peer = Peer(self._number, address(src), sport, self._out.append)
        web = dport in self._websocket_ports
        speech = Speech(self.figures, whole=flow.whole, web=web)
        return Conversation(peer, self._key, speech, whole=flow.whole)

    def _note_encrypted(self, way: Way) -> None:
        if way not in self._encrypted and len(self._encrypted) < MOST_ENCRYPTED:
            self.figures.encrypted += 1
            self._encrypted.add(way)
