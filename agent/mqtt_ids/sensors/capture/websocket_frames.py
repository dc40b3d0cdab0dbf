"""The frames of one direction of a WebSocket (RFC 6455 section 5): their payloads, as they come."""

from collections.abc import Iterator
from typing import Final

from websockets.frames import CTRL_OPCODES, OP_BINARY, OP_CONT, Opcode
from websockets.utils import apply_mask

from mqtt_ids.sensors.capture.inflate import HELD, CannotInflateError, Inflater
from mqtt_ids.sensors.capture.streams import UNKNOWN, Piece

LONGEST_CONTROL: Final = 125  # bytes (section 5.5)

_FIN: Final = 0x80
_COMPRESSED: Final = 0x40  # RSV1 (RFC 7692 section 6)
_RESERVED: Final = 0x30
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_LONGER: Final = {126: 2, 127: 8}  # bytes of a length that does not fit
_MASK_BYTES: Final = 4
_FIRST: Final = frozenset({0x02, 0x82, 0x42, 0xC2})  # how a binary message may begin


class BadFrameError(Exception):
    """A frame that breaks RFC 6455, or cannot be unpacked. It never leaves the unwrapper."""


class Frames:
    """Takes frames apart. `proven` tells that the place where they begin is known for sure."""

    def __init__(self, *, masked: bool, whole: bool) -> None:
        self.inflater: Inflater | None = None
        self.proven = whole
        self._masked = masked
        self._lost = not whole
        self._header = b""  # of the frame to come, as far as it is there
        self._left = 0  # bytes of the payload still to come
        self._mask = b""  # turned to where the payload is
        self._fin = True
        self._wanted = False  # this frame's payload is MQTT
        self._message = False  # and so is that of the message that is going on
        self._compressed = False

    @property
    def held(self) -> int:
        """Bytes held."""
        return len(self._header) + (0 if self.inflater is None else HELD)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The payload in the next bytes. Raises BadFrameError where they are no frames."""
        if not self.proven and self._may_begin(data):
            self._lost = False
            self._header = b""
            self._left = 0
        if self._lost:
            return
        at = 0
        while at < len(data):
            if self._left:
                chunk = data[at : at + self._left]
                at += len(chunk)
                self._left -= len(chunk)
                yield from self._payload(chunk)
            else:
                header = self._header + data[at : at + 14]
                size = self._begin(header)
                if size is None:
                    self._header = header
                    return
                at += size - len(self._header)
                self._header = b""
            if not self._left:
                yield from self._end()
        self.proven = self.proven or not self._left

    def missed(self, count: int) -> Iterator[Piece]:
        """So many bytes were not seen; how many of them were MQTT, as far as that is known."""
        if self._lost:
            return
        if count <= self._left and not self._compressed:
            self._left -= count
            self._turn(count)
            if self._wanted:
                yield count
            return
        self.lose()
        yield UNKNOWN

    def lose(self) -> None:
        """It is not known where the next frame begins."""
        self._lost = True
        self.proven = False
        self._header = b""

    def give_way(self) -> None:
        """Hold nothing any more."""
        self.inflater = None
        self.lose()

    def _may_begin(self, data: bytes) -> bool:
        """Whether a binary message may begin with `data`."""
        return len(data) > 1 and data[0] in _FIRST and (data[1] & _MASKED != 0) is self._masked

    def _begin(self, header: bytes) -> int | None:
        """Begin the frame whose header this starts with; the header's size, None if not whole."""
        if len(header) < 2:  # noqa: PLR2004 - the shortest
            return None
        first, second = header[0], header[1]
        length, at = second & _LENGTH, 2
        if longer := _LONGER.get(length):
            length = int.from_bytes(header[2 : 2 + longer], "big")
            at += longer
        self._check(first, second)
        size = at + (_MASK_BYTES if self._masked else 0)
        if len(header) < size:
            return None
        self._mask = header[at:size]
        self._left = length
        self._fin = first & _FIN != 0
        code = first & 0x0F
        if code in CTRL_OPCODES:
            self._wanted = False
            return size
        if code != OP_CONT:
            self._message = code == OP_BINARY
            self._compressed = first & _COMPRESSED != 0
            if self._compressed and self.inflater is not None:
                self.inflater.begin()
        self._wanted = self._message
        return size

    def _check(self, first: int, second: int) -> None:
        """Raise BadFrameError unless a frame of this direction may begin so (section 5.2)."""
        try:
            code = Opcode(first & 0x0F)
        except ValueError:
            raise BadFrameError from None
        control = code in CTRL_OPCODES
        if control and (not first & _FIN or second & _LENGTH > LONGEST_CONTROL):
            raise BadFrameError
        packed = first & _COMPRESSED
        if packed and (self.inflater is None or control or code is OP_CONT):
            raise BadFrameError
        if first & _RESERVED or (second & _MASKED != 0) is not self._masked:
            raise BadFrameError

    def _payload(self, chunk: bytes) -> Iterator[Piece]:
        if not self._wanted:
            return
        if self._masked:
            chunk = apply_mask(chunk, self._mask)
            self._turn(len(chunk))
        if not self._compressed:
            yield chunk
        else:
            yield from self._inflated(chunk, last=False)

    def _end(self) -> Iterator[Piece]:
        """A frame has ended, and a message with it, if it was the last of one."""
        if self._wanted and self._compressed and self._fin:
            yield from self._inflated(b"", last=True)

    def _inflated(self, chunk: bytes, *, last: bool) -> Iterator[bytes]:
        if self.inflater is None:
            raise BadFrameError
        try:
            yield from self.inflater.end() if last else self.inflater.feed(chunk)
        except CannotInflateError:
            raise BadFrameError from None

    def _turn(self, count: int) -> None:
        """Turn the mask to what comes after `count` bytes."""
        at = count % _MASK_BYTES
        self._mask = self._mask[at:] + self._mask[:at]
