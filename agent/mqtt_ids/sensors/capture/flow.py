"""One TCP connection: segments of both sides become a conversation, from handshake to end."""

from collections.abc import Callable, Sequence
from typing import Final

from mqtt_ids.sensors.capture.conversation import Conversation
from mqtt_ids.sensors.capture.layers import Segment
from mqtt_ids.sensors.capture.streams import Piece, Stream, distance

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04

Way = tuple[bytes, int, bytes, int]  # from address and port, to address and port

RST_NEAR: Final = 65_536  # bytes that a RST may lie off what its sender has sent
AGAIN: Final = 1.0  # seconds in which a SYN is captured twice; a new one has another number
MOST_FAST: Final = 4_096  # bytes that a SYN may bring (RFC 7413)

_ACK: Final = 0x10
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
        "_fast",
        "_first",
        "_lingers",
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
        self._fast = b""  # what came with the SYN: it counts if the SYN-ACK acknowledges it
        self._syn_acked = False
        self._lingers = False  # it has ended, and some of it was not seen yet

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.talk is not None and self.talk.closed

    @property
    def held(self) -> int:
        """Bytes held, of both directions."""
        own = self.client.held + self.server.held + len(self._fast)
        return own if self.talk is None else own + self.talk.held

    def is_over_with(self, found: Segment, now: float, *, from_client: bool) -> bool:
        """Whether this SYN or SYN-ACK begins another connection, between the same ports.

        A broker that is still connected does not obey a SYN (RFC 5961 section 4), so its answer
        has to confirm one, where its answers are seen at all.
        """
        _, _, _, _, seq, ack, flags, _, _ = found
        if from_client is (flags & _ACK != 0):
            return False
        if not from_client:
            return ack is None or self._first is None or not self._is_first(ack)
        if seq + 1 & _MASK == self._first:
            return self.closed and now - self.last > AGAIN
        if self._first is None or self.closed or self.talk is None:
            return True
        if self.client.end is not None or self.server.end is not None:
            return True
        return self.server.next is None and self.client.acked is None

    def _is_first(self, ack: int) -> bool:
        return 0 <= distance(self._first or 0, ack) <= MOST_FAST

    def take(  # noqa: C901, PLR0915 - hot: nothing is called that need not be
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
            if from_client:
                self._greet(seq + 1 & _MASK, data, missing)
                return
            seq = self._answer(seq + 1 & _MASK, ack, now)
        if ack is not None and ack != other.acked:
            if not from_client and other.end is not None and distance(other.end, ack) > 1:
                self._begin_again(now)  # the broker has not believed that the client ended
                own, other = self.server, self.client
            pieces = other.acknowledge(ack, now)
            if pieces:
                self._pass_on(pieces, now, from_client=not from_client)
        if self.talk is None and (data or (from_client and self._syn_acked)):
            if not self._agrees_with(seq if from_client else ack):
                self._begin_again(now)
                own = self.client if from_client else self.server
                other = self.server if from_client else self.client
            self._open(now)
        if data or missing:
            if from_client and self._first is None:
                self._first = seq
            self._pass_on(own.push(seq, data, missing, now), now, from_client=from_client)
        if flags & FIN:
            own.finish(seq + len(data) + missing & _MASK, now)
            self._by = self._by or ("client" if from_client else "broker")
        if own.end is not None or other.end is not None:
            self._end_where_done(now)

    def late(self, now: float) -> None:
        """A second after a CONNECT, or after the client's last byte, or after an end."""
        if self.talk is None:
            return
        self.settle(now)
        if self.server.done:
            self.close(now, "broker")
        elif self.client.done:
            self.close(now, "client")
        else:
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
        self._fast = b""
        self.flush(now)
        if self.talk is not None:
            self.talk.give_way(now)

    def close(self, now: float, by: str) -> None:
        """It is over; `by` whom where no FIN or RST has told."""
        self._pass_on(self.client.conclude(), now, from_client=True)
        self._pass_on(self.server.conclude(), now, from_client=False)
        if self.talk is not None:
            self.talk.close(self._by or by, now, seen=not self.server.has_holes)

    def _open(self, now: float) -> None:
        self.talk = self._meet(self)
        if self.whole:
            self.talk.opened(now)

    def _agrees_with(self, seq: int | None) -> bool:
        """Whether the client may be here after the SYN that was seen: nobody has confirmed it."""
        if self._syn_acked or self._first is None:
            return True
        return seq is not None and self._is_first(seq)

    def _greet(self, first: int, data: bytes, missing: int) -> None:
        """The client's SYN, which takes up the number before `first`."""
        if self._first is None:
            self._first = self.client.next = first
        if first == self._first and self.talk is None and len(data) <= MOST_FAST and not missing:
            self._fast = data or self._fast

    def _answer(self, first: int, ack: int | None, now: float) -> int:
        """The broker's SYN-ACK; the number of its first byte."""
        if self.server.next is None:
            self.server.next = first
        self._syn_acked = True
        if self._first is None:
            self._first = self.client.next = ack
        data, self._fast = self._fast, b""
        begin = self._first
        if data and begin is not None and ack == begin + len(data) & _MASK:
            if self.talk is None:
                self._open(now)
            self._pass_on(self.client.push(begin, data, 0, now), now, from_client=True)
        return first

    def _begin_again(self, now: float) -> None:
        """Go on as if in mid-stream."""
        self.close(now, "client")
        self.client, self.server = Stream(), Stream()
        self.talk = self._by = self._first = None
        self.whole = self._syn_acked = self._lingers = False

    def _reset(self, own: Stream, seq: int, now: float, *, from_client: bool) -> None:
        """A RST, unless it is one that the other side would not have believed."""
        if own.next is not None and abs(distance(own.next, seq)) > RST_NEAR:
            reached = own.next if own.acked is None else own.acked
            if abs(distance(reached, seq)) > RST_NEAR:
                return
        self._by = self._by or ("client" if from_client else "broker")
        self._pass_on(own.cut(seq), now, from_client=from_client)
        self.close(now, self._by)

    def _end_where_done(self, now: float) -> None:
        """The broker's end is the end; the client's leaves time for the broker's last words."""
        if self.talk is None or self.talk.closed:
            return
        if self.server.done and not self.client.has_more:
            self.close(now, "broker")
        elif self.client.done:
            self.talk.client_ended(now)
        elif not self._lingers:
            self._lingers = self.talk.due = True

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
