"""One TCP connection as it lies on the wire: what two sides say becomes segments (RFC 9293)."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Side = Literal["client", "server"]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PUSH: Final = 0x08
ACK: Final = 0x10

_MODULUS: Final = 1 << 32
_OTHER: Final[dict[Side, Side]] = {"client": "server", "server": "client"}


class Endpoint(NamedTuple):
    """One end of a connection."""

    address: str
    port: int


class Piece(NamedTuple):
    """One TCP segment, sent at `time` (s). `ack` counts only where `flags` hold ACK."""

    time: float
    source: Endpoint
    target: Endpoint
    seq: int
    ack: int
    flags: int
    data: bytes = b""


class Talk:
    """Writes one connection: each call gives the segments that it puts on the wire.

    `first` holds the initial sequence numbers of client and server; without `open` the capture
    starts in mid-stream. `size` is the most bytes of data in one segment.
    """

    def __init__(
        self,
        client: Endpoint,
        server: Endpoint,
        *,
        first: tuple[int, int] = (1000, 500_000),
        size: int = 1460,
    ) -> None:
        self.ends: dict[Side, Endpoint] = {"client": client, "server": server}
        self._next: dict[Side, int] = {"client": first[0], "server": first[1]}
        self._size = size

    def open(self, time: float) -> list[Piece]:
        """SYN, SYN-ACK, ACK."""
        return [
            self.segment(time, "client", SYN),
            self.segment(time, "server", SYN | ACK),
            self.segment(time, "client", ACK),
        ]

    def say(self, time: float, side: Side, data: bytes, *, acked: bool = True) -> list[Piece]:
        """Data from one side, in as many segments as it takes, and the other's bare ACK."""
        parts = [data[at : at + self._size] for at in range(0, len(data), self._size)]
        said = [self.segment(time, side, PUSH | ACK, part) for part in parts]
        if acked and said:
            said.append(self.segment(time, _OTHER[side], ACK))
        return said

    def close(self, time: float, side: Side) -> list[Piece]:
        """FIN from `side`, FIN from the other, and the last ACK."""
        return [
            self.segment(time, side, FIN | ACK),
            self.segment(time, _OTHER[side], FIN | ACK),
            self.segment(time, side, ACK),
        ]

    def reset(self, time: float, side: Side) -> list[Piece]:
        """RST from `side`."""
        return [self.segment(time, side, RST | ACK)]

    def segment(self, time: float, side: Side, flags: int, data: bytes = b"") -> Piece:
        """One segment with any flags; the sequence number moves on behind it."""
        other = _OTHER[side]
        seq = self._next[side]
        taken = len(data) + bool(flags & SYN) + bool(flags & FIN)
        self._next[side] = (seq + taken) % _MODULUS
        ack = self._next[other] if flags & ACK else 0
        return Piece(time, self.ends[side], self.ends[other], seq, ack, flags, data)


def ports(used: set[Endpoint], wanted: Endpoint) -> Iterator[Endpoint]:
    """The wanted endpoint, or the next ones above it, that are not in use."""
    for step in range(0xFFFF):
        port = 1024 + (wanted.port - 1024 + step) % (0xFFFF - 1024)
        one = Endpoint(wanted.address, port)
        if one not in used:
            yield one
