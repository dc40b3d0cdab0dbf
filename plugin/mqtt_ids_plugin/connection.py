"""One connection as the sensor sees it: packets become events with the true peer."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mqtt_ids.events import AnyEvent
from mqtt_ids.packets import MalformedPacket, Packet, PublishPacket
from mqtt_ids.peer import Peer

if TYPE_CHECKING:
    from amqtt.session import Session


class Connection(Peer):
    """A peer whose packets are told as the broker is about to read them.

    `faulty` says that the client did what closes its connection. `heard` is when it last spoke.
    `paused` says that we keep it waiting, so it is not silent. `held` keeps back the event of the
    end while the same client id connects anew.
    """

    __slots__ = ("_end", "faulty", "heard", "held", "paused", "reserved", "session")

    def __init__(
        self,
        number: int,
        peer: tuple[str, int],
        emit: Callable[[AnyEvent], None],
        reserved: Callable[[str], bool],
        now: float,
    ) -> None:
        """`reserved` tells which topics no client may publish on."""
        super().__init__(number, *peer, emit)
        self.reserved = reserved
        self.heard = now
        self.session: Session | None = None
        self.faulty = self.paused = self.held = False
        self._end: str | None = None  # by whom it was closed while `held`

    def answered(self, code: int, now: float, client_id: str | None = None) -> None:
        """The CONNECT was answered with this CONNACK code; `client_id` is in force, and bounded."""
        if self.connect is not None:
            self.heard = now
            super().answered(code, now, client_id)

    def take(self, packet: Packet, now: float) -> None:
        """A packet came that is no CONNECT; it may make the connection `faulty`."""
        if self.goodbye or self.faulty or self.closed:
            return  # nothing counts after DISCONNECT [MQTT-3.14.4-2]
        self.heard = now
        self.tell(packet, now)
        if type(packet) is PublishPacket:
            self.faulty = self.reserved(packet.topic or "")
        elif type(packet) is MalformedPacket:
            self.faulty = True

    def end(self, by: str, now: float) -> None:
        """The connection is over; only the first call counts."""
        if not self.closed and self.held:
            self.closed = True
            self._end = by
        else:
            super().end(by, now)

    def release(self, now: float) -> None:
        """Tell of the end that was kept back, if it has come."""
        self.held = False
        if self._end is not None:
            by, self._end = self._end, None
            self.closed = False
            super().end(by, now)
