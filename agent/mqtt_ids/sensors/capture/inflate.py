"""Compressed WebSocket messages (permessage-deflate, RFC 7692), unpacked in bounded memory."""

import zlib
from collections.abc import Iterator
from typing import Final

from websockets.exceptions import WebSocketException
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import parse_extension

HELD: Final = 40_000  # bytes: about what zlib keeps, for its window above all
AT_ONCE: Final = 65_536  # bytes given out in one piece
MOST_RATIO: Final = 16  # bytes out for each one in; JSON from devices makes 3 to 10
FREE: Final = 262_144  # bytes out before the ratio counts

_TAIL: Final = b"\x00\x00\xff\xff"  # what each message was cut by (section 7.2.1)


class CannotInflateError(Exception):
    """What was compressed is damaged, or becomes absurdly large."""


class Inflater:
    """Unpacks the messages of one direction."""

    __slots__ = ("_bits", "_fresh", "_inflate", "_room")

    def __init__(self, *, bits: int, fresh: bool) -> None:
        """`bits` of window; `fresh` tells that each message stands for itself."""
        self._bits = bits
        self._fresh = fresh
        self._inflate = zlib.decompressobj(-bits)
        self._room = FREE

    def begin(self) -> None:
        """A message begins."""
        if self._fresh:
            self._inflate = zlib.decompressobj(-self._bits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of a message unpack to. Raises CannotInflateError."""
        self._room = min(self._room + MOST_RATIO * len(data), FREE + MOST_RATIO * AT_ONCE)
        while True:
            try:
                piece = self._inflate.decompress(data, AT_ONCE)
            except zlib.error:
                raise CannotInflateError("not what deflate makes") from None
            data = self._inflate.unconsumed_tail
            self._room -= len(piece)
            if self._room < 0:
                raise CannotInflateError("absurdly large")
            if piece:
                yield piece
            if len(piece) < AT_ONCE and not data:
                return

    def end(self) -> Iterator[bytes]:
        """The message ends."""
        return self.feed(_TAIL)


def inflaters(extensions: str) -> tuple[Inflater, Inflater] | None:
    """Of client and server, as the response's Sec-WebSocket-Extensions says; None without."""
    try:
        for name, parameters in parse_extension(extensions):
            if name == ClientPerMessageDeflateFactory.name:
                offer = ClientPerMessageDeflateFactory(client_max_window_bits=True)
                agreed = offer.process_response_params(parameters, [])
                return (
                    Inflater(
                        bits=agreed.local_max_window_bits, fresh=agreed.local_no_context_takeover
                    ),
                    Inflater(
                        bits=agreed.remote_max_window_bits, fresh=agreed.remote_no_context_takeover
                    ),
                )
    except WebSocketException:
        return None
    return None
