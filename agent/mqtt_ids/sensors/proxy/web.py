"""MQTT over WebSocket in front: frames are taken off here, and only their payloads pass."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from mqtt_ids.sensors.proxy.pair import Pair

SPOKEN: Final = ("mqtt", "mqttv3.1")  # subprotocols (MQTT 5, section 6)
MOST_BEFORE: Final = 400_000  # bytes of a message, while nobody knows who it is from
MOST: Final = 16 * 1024 * 1024  # bytes of one from whom the broker has accepted


class WebTransport(asyncio.Transport):
    """What a pair writes to: each write becomes a binary message on `inner`."""

    def __init__(self, inner: asyncio.Transport, protocol: ServerProtocol) -> None:
        super().__init__()
        self.inner = inner
        self._protocol = protocol

    def write(self, data: Any) -> None:  # noqa: ANN401 - bytes of any sort
        """Send it as one message; nothing where the WebSocket is not open."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
            self.flush()

    def flush(self) -> None:
        """Send what the protocol wants to say."""
        for data in self._protocol.data_to_send():
            if data and not self.inner.is_closing():
                self.inner.write(data)
            elif not data:
                self.inner.close()

    def close(self) -> None:
        """Say goodbye, and close once that is written."""
        if self._protocol.state is State.OPEN and not self.inner.is_closing():
            self._protocol.send_close(1000)
            self.flush()
        self.inner.close()

    def abort(self) -> None:
        """Close at once."""
        self.inner.abort()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self.inner.is_closing()

    def can_write_eof(self) -> bool:
        """A WebSocket has no halves."""
        return False

    def get_extra_info(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - asyncio's
        """What is known of the TCP connection."""
        return self.inner.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The marks of the TCP connection."""
        self.inner.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait in the TCP connection."""
        return self.inner.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Read no more of the TCP connection."""
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self.inner.resume_reading()


class WebEnd(asyncio.BufferedProtocol):
    """The client's end of a pair that speaks WebSocket."""

    __slots__ = ("_buffer", "_pair", "_protocol", "_transport")

    def __init__(self, pair: "Pair", buffer: memoryview) -> None:
        self._pair = pair
        self._buffer = buffer
        self._protocol = ServerProtocol(select_subprotocol=_choose, max_size=MOST_BEFORE)
        self._transport: WebTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self._transport = WebTransport(cast("asyncio.Transport", transport), self._protocol)
        self._pair.replay = self.receive
        self._pair.connection_made(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """One buffer for all: whatever is read is taken out of it at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The client's next bytes."""
        data = bytes(self._buffer[:nbytes])
        if self._pair.securing:
            self._pair.take(data)  # which gives it back
        else:
            self.receive(data)

    def receive(self, data: bytes) -> None:
        """Take the frames off."""
        transport = self._transport
        if transport is None or self._pair.over:
            return
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        for event in events:
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame):
                self._frame(event)
        if self._pair.relaying and self._protocol.max_size == MOST_BEFORE:
            self._protocol.max_size = MOST
        transport.flush()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.BINARY, Opcode.CONT}:
            if frame.data:
                self._pair.take(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:  # MQTT 5, section 6
            self._protocol.fail(1003, "MQTT is binary")

    def eof_received(self) -> bool:
        """The client has sent all."""
        self._protocol.receive_eof()
        return self._pair.eof_received()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._pair.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._pair.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._pair.connection_lost(exc)


def _choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first that we speak; who offers none is not asked for one, as brokers do."""
    return next((each for each in offered if each in SPOKEN), None)
