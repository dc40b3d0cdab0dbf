"""One direction of a TCP connection: segments in any order in, the stream in order out.

    in order ───────────────────────────────────────────► bytes
    ahead ──► waits ─► the hole is filled ──────────────► bytes
                  └──► the hole will stay: a gap (int), then bytes

A hole will stay when the other side has acknowledged what lies behind it, or, where too much
waits, or for too long with nothing heard from the other side. Of bytes that come twice the first
copy counts, as in RFC 9293 section 3.4. Sequence numbers are modulo 2^32.
"""

from collections.abc import Sequence
from typing import Final

Piece = bytes | int  # bytes of the stream, or how many of them were not seen

UNKNOWN: Final = 1 << 28  # a gap whose size cannot be known: longer than any packet
MOST_WAITING: Final = 65_536  # bytes behind a hole
MOST_SEGMENTS: Final = 64  # behind a hole
FARTHEST: Final = 1 << 24  # bytes ahead of what was acknowledged; more than receivers' windows
SETTLED: Final = 0.02  # seconds: a capture may have frames of both sides in the wrong order
PATIENCE: Final = 10.0  # seconds for a hole to be filled where nobody is seen to acknowledge

_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000

# Where it starts, what was seen of it, and how long it was on the wire.
_Part = tuple[int, bytes, int]


def distance(start: int, end: int) -> int:
    """How far `end` lies behind `start`, both modulo 2^32; negative where it lies before."""
    return (end - start + _HALF & _MASK) - _HALF


class Stream:
    """Puts the segments of one direction in order.

    `next` is the sequence number expected next, None before anything is known. `acked` is the
    other side's latest acknowledgement, None where it was never seen. `held` counts bytes that
    wait behind a hole. `end` is where the stream ends, once a FIN or RST has told.
    """

    __slots__ = ("_leapt_from", "_since", "_waiting", "acked", "end", "gaps", "held", "next")

    def __init__(self) -> None:
        self.next: int | None = None
        self.acked: int | None = None
        self.end: int | None = None
        self.held = 0
        self.gaps = 0
        self._waiting: list[_Part] = []  # ordered, and none overlaps another
        self._since = 0.0  # when the oldest hole was met
        self._leapt_from: int | None = None  # the start of a hole that nobody has acknowledged

    @property
    def done(self) -> bool:
        """Whether everything up to the end was given out."""
        return self.end is not None and self.next == self.end

    @property
    def has_holes(self) -> bool:
        """Whether some of it was not seen, or not yet: the other side may have more."""
        if self.next is None or self.gaps or self._waiting:
            return True
        return self.acked is not None and distance(self.next, self.acked) > 0

    @property
    def has_more(self) -> bool:
        """Whether the other side has had more of it than was seen so far."""
        if self._waiting:
            return True
        ahead = 0 if self.next is None or self.acked is None else distance(self.next, self.acked)
        return ahead > 1 or (ahead == 1 and self.end is None)

    def push(self, seq: int, data: bytes, missing: int, now: float) -> Sequence[Piece]:
        """Take a segment whose last `missing` bytes were not captured; what is in order now."""
        if seq == self.next and not missing and not self._waiting and self.end is None:
            self.next = seq + len(data) & _MASK
            return (data,)
        if self.next is None:
            self.next = seq
        part = self._fitting(seq, data, len(data) + missing)
        if part is None:
            return ()
        if not self._waiting:
            self._since = now
        self._put(*part)
        out: list[Piece] = []
        self._drain(out)
        self._leap_where_due(out, now)
        return out

    def acknowledge(self, ack: int, now: float) -> Sequence[Piece]:
        """The other side has everything before `ack`; what can be given out now."""
        self.acked = ack
        if self.next is None:
            return ()
        out: list[Piece] = []
        leapt_from = self._leapt_from
        if leapt_from is not None:
            inside = distance(leapt_from, ack) > 0
            if inside and distance(ack, self.next) > 0:  # what we have leapt over is being sent
                self._waiting.clear()
                self.held = 0
                self.next = ack
                self._gap(UNKNOWN, out)
            if inside:
                self._leapt_from = None
        self._leap_where_due(out, now)
        return out

    def finish(self, end: int, now: float) -> None:
        """The stream ends at `end`: what comes behind it does not count. Absurd ends neither."""
        if self.next is None:
            self.next = end
        ahead = distance(self.next, end)
        if self.end is None and 0 <= ahead <= FARTHEST:
            self.end = end
            if not self._waiting:
                self._since = now

    def settle(self, now: float) -> Sequence[Piece]:
        """Give out what has waited too long by `now`."""
        out: list[Piece] = []
        self._leap_where_due(out, now)
        return out

    def flush(self) -> Sequence[Piece]:
        """Give out what waits, with the holes before it as gaps."""
        out: list[Piece] = []
        while self._waiting:
            self._leap(out)
        return out

    def conclude(self) -> Sequence[Piece]:
        """Like `flush`, and what was sent and not seen is a gap at the end."""
        out = list(self.flush())
        if self.next is not None:
            end, fin = (self.acked, 1) if self.end is None else (self.end, 0)
            if end is not None and distance(self.next, end) > fin:
                self._skip_to(end, out)
        return out

    def cut(self, seq: int) -> Sequence[Piece]:
        """The stream breaks off at `seq`: what was not seen before will not be seen any more."""
        out = list(self.flush())
        if self.next is None:
            self.next = seq
        if self.end is None:
            if distance(self.next, seq) > 0:
                self._skip_to(seq, out)
            self.end = self.next
        return out

    def _fitting(self, seq: int, data: bytes, length: int) -> _Part | None:
        """What of a segment is neither old, nor behind the end, nor absurdly far ahead."""
        expected = self.next or 0
        old = -distance(expected, seq)
        if old > 0:
            seq, data, length = expected, data[old:], length - old
        if self.end is not None and length > (room := distance(seq, self.end)):
            data, length = data[: max(room, 0)], room
        base = expected if self.acked is None else self.acked
        if length <= 0 or distance(base, seq) > FARTHEST:
            return None
        return seq, data, length

    def _put(self, seq: int, data: bytes, length: int) -> None:
        """Keep the parts of a segment that no earlier one has brought."""
        waiting = self._waiting
        for start, _, size in tuple(waiting):
            before = distance(seq, start)
            if before >= length:
                break
            if before > 0:
                waiting.append((seq, data[:before], before))
                self.held += len(data[:before])
            past = before + size
            if past > 0:
                seq, data, length = seq + past & _MASK, data[past:], length - past
        if length > 0:
            waiting.append((seq, data, length))
            self.held += len(data)
        if len(waiting) > 1:
            expected = self.next or 0
            waiting.sort(key=lambda part: part[0] - expected & _MASK)

    def _drain(self, out: list[Piece]) -> None:
        """Give out what is in order."""
        waiting = self._waiting
        while waiting and waiting[0][0] == self.next:
            seq, data, length = waiting.pop(0)
            self.held -= len(data)
            self.next = seq + length & _MASK
            if data:
                out.append(data)
            if length > len(data):
                self._gap(length - len(data), out)

    def _leap_where_due(self, out: list[Piece], now: float) -> None:
        while self._waiting and self._is_due(self._waiting[0][0], now):
            self._leap(out)
            self._since = now
        end = self.end
        if end is None or self._waiting or not self._has_acked(end):
            return
        if distance(self.next or 0, end) > 0 and now - self._since >= SETTLED:
            self._skip_to(end, out)

    def _is_due(self, start: int, now: float) -> bool:
        """Whether the hole before `start` will stay."""
        waited = now - self._since
        if self._has_acked(start):
            if waited >= SETTLED:
                self._leapt_from = None
                return True
        elif self.acked is None and waited > PATIENCE:
            self._leapt_from = self.next
            return True
        if len(self._waiting) > MOST_SEGMENTS or self.held > MOST_WAITING:
            self._leapt_from = self.next
            return True
        return False

    def _has_acked(self, seq: int) -> bool:
        return self.acked is not None and distance(seq, self.acked) >= 0

    def _leap(self, out: list[Piece]) -> None:
        self._skip_to(self._waiting[0][0], out)
        self._drain(out)

    def _skip_to(self, seq: int, out: list[Piece]) -> None:
        hole = distance(self.next or 0, seq)
        self.next = seq
        self._gap(hole, out)

    def _gap(self, count: int, out: list[Piece]) -> None:
        self.gaps += 1
        out.append(count)
