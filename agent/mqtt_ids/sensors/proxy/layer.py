"""A layer upon TCP, TLS or WebSocket: a protocol to what is below it, a transport to what is above.

    below ─► data_received ─► decoded ─► hand_up ─► above
    below ◄──────────────── encoded ◄───── write ◄─ above

What was read is decoded at once. Where the one above does not read just then, what comes of it
waits here: that of one read, for below is not read then either.
"""

import asyncio
from collections import deque
from typing import Any, Final, Protocol, cast

_END: Final = b""  # stands in the queue for the end of what comes


class Above(Protocol):
    """Whom a layer serves: another layer, or an end of a pair."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""

    def data_received(self, data: bytes) -> None:
        """The next bytes."""

    def eof_received(self) -> bool | None:
        """No more will come; whether it may stay open for what is still to be written."""

    def pause_writing(self) -> None:
        """Enough waits to be written."""

    def resume_writing(self) -> None:
        """It does not any more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""


class Layer(asyncio.Transport, asyncio.BufferedProtocol):
    """What all layers share: all but the coding."""

    __slots__ = ("_above", "_below", "_buffer", "_closed", "_ended", "_paused", "_waiting")
    has_halves = False  # whether it can still be written to after the other side's end

    def __init__(self, above: Above, buffer: memoryview) -> None:
        """`buffer` is read into; it may be everybody's."""
        super().__init__()
        self._above = above
        self._buffer = buffer
        self._below: asyncio.Transport | None = None
        self._closed = False  # from above
        self._ended = False  # from below
        self._paused = False
        self._waiting: deque[bytes] | None = None

    # --- as a protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """What is below is there."""
        self._below = cast("asyncio.Transport", transport)
        self._above.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Whatever is read is taken out of it at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The next bytes from TCP."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """The next bytes from below."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """Nothing more comes from below; when to close is ours to say."""
        self.end_up()
        return True

    def pause_writing(self) -> None:
        """Enough waits to be written."""
        self._above.pause_writing()

    def resume_writing(self) -> None:
        """It does not any more."""
        self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """What is below is gone."""
        self._closed = True
        self._waiting = None
        self._above.connection_lost(exc)

    # --- what a layer decodes ----------------------------------------------------------------

    def hand_up(self, data: bytes) -> None:
        """Give it to the one above, or keep it until that one reads."""
        if self._closed or self._ended or not data:
            return
        self._hand(data)

    def end_up(self) -> None:
        """Nothing more comes, behind what waits."""
        if not (self._closed or self._ended):
            self._ended = True
            self._hand(_END)

    def _hand(self, data: bytes) -> None:
        if self._waiting is None and self._paused:
            self._waiting = deque()
        if self._waiting is None:
            self._give(data)
        else:
            self._waiting.append(data)

    def _give(self, data: bytes) -> None:
        if data:
            self._above.data_received(data)
        elif not (self._above.eof_received() and self.has_halves):
            self.close()

    def _release(self) -> None:
        """Give what waits, as far as it is taken."""
        while self._waiting and not (self._paused or self._closed):
            self._give(self._waiting.popleft())
        if not self._paused and self._below is not None:
            self._waiting = None
            self._below.resume_reading()

    # --- as a transport ----------------------------------------------------------------------

    @property
    def below(self) -> asyncio.Transport:
        """What this stands on. Raises ConnectionResetError before there is any."""
        if self._below is None:
            raise ConnectionResetError("not connected")
        return self._below

    def send_below(self, data: bytes) -> None:
        """Write what was encoded."""
        if data and not self.below.is_closing():
            self.below.write(data)

    def close(self) -> None:
        """Close once all is written."""
        self._closed = True
        self._waiting = None
        self.below.close()

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        self._waiting = None
        self.below.abort()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._closed or self.below.is_closing()

    def can_write_eof(self) -> bool:
        """Only TCP can, and go on reading."""
        return False

    def get_extra_info(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - asyncio's
        """What is known of the TCP connection."""
        return self.below.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks of the TCP connection."""
        self.below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait in the TCP connection."""
        return self.below.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Hand nothing up any more, and read nothing."""
        self._paused = True
        self.below.pause_reading()

    def resume_reading(self) -> None:
        """First hand up what waits, then read on."""
        self._paused = False
        if self._waiting is None:
            self.below.resume_reading()
        else:
            asyncio.get_running_loop().call_soon(self._release)
