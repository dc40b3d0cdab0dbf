"""One TCP connection: segments of both sides become a conversation, from handshake to end."""

from collections.abc import Callable, Sequence
from typing import Final

from mqtt_ids.sensors.capture.conversation import Conversation
from mqtt_ids.sensors.capture.layers import Segment
from mqtt_ids.sensors.capture.streams import FARTHEST, Piece, Stream, distance

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04

Way = tuple[bytes, int, bytes, int]  # from address and port, to address and port

RST_BEHIND: Final = 65_536  # bytes that a RST may lie behind what its sender has sent

_SYN_OR_RST: Final = SYN | RST
_MASK: Final = 0xFFFFFFFF


class Flow:
    """Both directions of one connection, and who ended it.

    `way` is the client's, `whole` tells that it was seen from its SYN on. `talk` is None before
    the handshake is complete. `last` is when a segment was seen last. A flow that is over goes on
    being decoded, to count its packets; nothing more is told of it.
    """

    __slots__ = (
        "_by",
        "_first",
        "_meet",
        "_syn_acked",
        "booked",
        "client",
        "last",
        "server",
        "talk",
        "way",
        "whole",
    )

    def __init__(
        self, way: Way, meet: Callable[["Flow"], Conversation], now: float, *, whole: bool
    ) -> None:
        """`meet` begins the conversation, when there is one."""
        self.way = way
        self.whole = whole
        self.talk: Conversation | None = None
        self.client = Stream()
        self.server = Stream()
        self.last = now
        self.booked = 0  # bytes that are in the books of all flows
        self._meet = meet
        self._by: str | None = None
        self._first: int | None = None  # the sequence number of the client's first byte
        self._syn_acked = False

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.talk is not None and self.talk.closed

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        own = self.client.held + self.server.held
        return own if self.talk is None else own + self.talk.held

    def begins_with(self, syn: int) -> bool:
        """Whether it is going on, and began with a client's SYN of this sequence number."""
        return self._first == syn + 1 & _MASK and not self.closed

    def take(  # noqa: C901 - hot: nothing is called that need not be
        self, found: Segment, now: float, *, from_client: bool
    ) -> None:
        """A segment of one side."""
        _, _, _, _, seq, ack, flags, data, missing = found
        self.last = now
        own, other = (self.client, self.server) if from_client else (self.server, self.client)
        if flags & _SYN_OR_RST:
            if flags & RST:
                self._reset(own, seq, now, from_client=from_client)
                return
            seq = self._synchronise(own, seq, ack, from_client=from_client)
        if ack is not None and ack != other.acked:
            pieces = other.acknowledge(ack, now)
            if pieces:
                self._pass_on(pieces, now, from_client=not from_client)
        if self.talk is None and self._is_open(found, from_client=from_client):
            self.talk = self._meet(self)
            if self.whole:
                self.talk.opened(now)
        if data or missing:
            if from_client and self._first is None:
                self._first = seq
            self._pass_on(own.push(seq, data, missing, now), now, from_client=from_client)
        if flags & FIN:
            own.finish(seq + len(data) + missing & _MASK)
            self._by = self._by or ("client" if from_client else "broker")
        if own.end is not None or other.end is not None:
            self._end_where_done(now)

    def late(self, now: float) -> None:
        """A second after a CONNECT, or after the client's last byte."""
        if self.talk is None:
            return
        if self.client.done:
            self.close(now, "client")
        else:
            self.settle(now)
            self.talk.late(now, seen=not self.server.has_holes)

    def settle(self, now: float) -> None:
        """Hand on what has waited too long behind a hole."""
        self._pass_on(self.client.settle(now), now, from_client=True)
        self._pass_on(self.server.settle(now), now, from_client=False)

    def flush(self, now: float) -> None:
        """Hand on all that waits behind holes, which will not be filled."""
        self._pass_on(self.client.flush(), now, from_client=True)
        self._pass_on(self.server.flush(), now, from_client=False)

    def give_way(self, now: float) -> None:
        """Hold nothing any more."""
        self.flush(now)
        if self.talk is not None:
            self.talk.give_way(now)

    def close(self, now: float, by: str) -> None:
        """It is over; `by` whom where no FIN or RST has told."""
        self.flush(now)
        if self.talk is not None:
            self.talk.close(self._by or by, now)

    def _is_open(self, found: Segment, *, from_client: bool) -> bool:
        """Whether this segment shows that the handshake is complete."""
        if found.flags & SYN or not from_client:
            return bool(found.data)
        return self._syn_acked or bool(found.data)

    def _synchronise(self, own: Stream, seq: int, ack: int | None, *, from_client: bool) -> int:
        """A SYN takes up one number; that of the byte after it."""
        first = seq + 1 & _MASK
        if own.next is None:
            own.next = first
        if from_client:
            self._first = first
        else:
            self._syn_acked = True
            if self.client.next is None:
                self.client.next = self._first = ack
        return first

    def _reset(self, own: Stream, seq: int, now: float, *, from_client: bool) -> None:
        """A RST, unless it is one that the other side would not have believed."""
        if own.next is not None and not -RST_BEHIND <= distance(own.next, seq) <= FARTHEST:
            return
        self._by = self._by or ("client" if from_client else "broker")
        self.close(now, self._by)
        if own.next is not None:
            own.finish(own.next)

    def _end_where_done(self, now: float) -> None:
        """The broker's end is the end; the client's leaves time for the broker's last words."""
        if self.talk is None or self.talk.closed:
            return
        if self.server.done:
            self.close(now, "broker")
        elif self.client.done:
            self.talk.client_ended(now)

    def _pass_on(self, pieces: Sequence[Piece], now: float, *, from_client: bool) -> None:
        talk = self.talk
        if talk is None:
            return
        for piece in pieces:
            if isinstance(piece, bytes):
                if from_client:
                    talk.client(piece, now)
                else:
                    talk.server(piece, now)
            elif from_client:
                talk.client_missed(piece, now)
            else:
                talk.server_missed(piece, now)
