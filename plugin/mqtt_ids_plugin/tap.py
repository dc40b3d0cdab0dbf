"""The tap: the broker's reader and writer of one connection, with the decoder in between.

Bytes reach the decoder, and so the engine, before the broker sees the packet that they belong to.
A packet that must not be seen ends the stream for the broker, as if the client had gone; what the
client sent before it has been handled. The tap keeps packet boundaries, so that a wait that the
broker gives up (amqtt does at each keep-alive) never loses a byte of a header.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Final, NoReturn

from amqtt.adapters import ReaderAdapter, WriterAdapter

from mqtt_ids.decoder import MAX_HEADER, Decoder
from mqtt_ids.packet_fields import variable_integer
from mqtt_ids.packets import ConnectPacket
from mqtt_ids_plugin.broker_access import Source, transport_of
from mqtt_ids_plugin.connection import Connection
from mqtt_ids_plugin.pressure import BURST, Pressure

MAX_PACKET: Final = 16 * 1024 * 1024  # bytes; amqtt holds each packet whole, twice
MAX_CONNECT: Final = 65_536  # bytes; held for hundreds of strangers at once
CLOSING: Final = 2.0  # seconds for a peer to read what was written, before it is cut off
SIGN_OF_LIFE: Final = 1_000  # bytes of a large packet that count as having been heard
COMPACT_AFTER: Final = 65_536  # bytes that the broker has read
PUBLISH: Final = 3
CONNACK: Final = 2
CONNACK_SIZE: Final = 4


def packet_size(data: bytearray, at: int) -> int | None:
    """The size of the packet that begins at `at`, header included; None until it can be known."""
    if len(data) - at < 2:  # noqa: PLR2004 - the shortest header
        return None
    if data[at + 1] < 0x80:  # noqa: PLR2004 - one byte of remaining length, the usual case
        return 2 + data[at + 1]
    found = variable_integer(bytes(data[at : at + MAX_HEADER]), 1, min(MAX_HEADER, len(data) - at))
    return None if found is None else found[0] + found[1]


class TappedReader(ReaderAdapter):
    """What the broker reads from. Everything is decoded and told before it is given out."""

    def __init__(self, source: Source, connection: Connection, pressure: Pressure) -> None:
        self._source = source
        self._connection = connection
        self._pressure = pressure
        self._decoder = Decoder(from_client=True, max_packet=MAX_PACKET, max_connect=MAX_CONNECT)
        self._buffer = bytearray()
        self._at = 0  # where the broker is in the buffer
        self._told = 0  # where the decoder is
        self._stop: int | None = None  # where the packet ends that the broker is in
        self._count = 0
        self._connect: ConnectPacket | None = None

    async def hello(self) -> ConnectPacket | None:
        """The CONNECT, whole and still unread by the broker; None where there will be none."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while not self._frame():
                await self._more(1)
            while self._connect is None:
                await self._more(self._missing())
        connect, self._connect = self._connect, None
        return connect

    async def read(self, n: int = -1) -> bytes:
        """The next `n` bytes of the packet, or all of them. IncompleteReadError at the end."""
        if n == 0:
            return b""
        if self._stop is None or self._at == self._stop:
            await self._begin()
        stop = self._stop or 0
        end = stop if n < 0 else self._at + n
        if end > stop:
            # The decoder took the packet for sound and the broker did not: do not let it go on
            # reading in the middle of the next one.
            await self._give_up()
        while len(self._buffer) < end:
            await self._more(end - len(self._buffer))
        piece = bytes(self._buffer[self._at : end])
        self._at = end
        return piece

    def feed_eof(self) -> None:
        """Nothing more will come; the wait that is going on ends with the transport."""
        self._connection.faulty = True

    @property
    def held(self) -> int:
        """Bytes that wait here for the rest of their packet, or for the broker."""
        return len(self._buffer)

    def truncated(self) -> None:
        """The stream ends here: tell it if that is inside a packet."""
        for packet in self._decoder.end():
            self._connection.take(packet, time.monotonic())

    async def _begin(self) -> None:
        """Go to the start of the next packet, when it is this client's turn."""
        self._count += 1
        if self._stop is not None:
            self._told = self._at
            self._stop = None
            self._compact()
        if self._connection.goodbye:
            await self._give_up()
        if self._count % BURST == 0:
            await asyncio.sleep(0)
        while not self._frame():
            await self._more(1)
        if self._buffer[self._at] >> 4 == PUBLISH and self._pressure.high(self._connection):
            await self._pressure.ease(self._connection)
        await self._unless_over()

    def _frame(self) -> bool:
        """Tell the decoder what is there of the packet; whether its size is known."""
        size = packet_size(self._buffer, self._at)
        if size is not None:
            self._stop = self._at + size
        self._tell()
        return size is not None and not self._connection.faulty

    def _tell(self) -> None:
        end = len(self._buffer)
        stop = end if self._stop is None else min(self._stop, end)
        if stop == self._told:
            return
        piece = bytes(self._buffer[self._told : stop])
        self._told = stop
        now = time.monotonic()
        if len(piece) >= SIGN_OF_LIFE:
            self._connection.heard = now
        for packet in self._decoder.feed(piece):
            if type(packet) is ConnectPacket:
                self._connect = packet
            else:
                self._connection.take(packet, now)

    async def _more(self, wanted: int) -> None:
        """Wait for more bytes. IncompleteReadError where there are none, or none may count."""
        await self._unless_over()
        try:
            data = await self._source(wanted)
        except (OSError, asyncio.IncompleteReadError):
            data = b""
        if not data:
            if not self._connection.closed:
                self.truncated()
                self._connection.end("client", time.monotonic())
            await self._give_up()
        self._buffer += data
        if self._stop is not None:
            self._tell()
            await self._unless_over()

    async def _unless_over(self) -> None:
        if self._connection.faulty or self._connection.closed:
            await self._give_up()

    async def _give_up(self) -> NoReturn:
        # Let the broker begin what it has read before: at the end of a stream it drops the rest,
        # be it a DISCONNECT, without which it would publish the will.
        await asyncio.sleep(0)
        if not self._connection.goodbye:
            self._connection.faulty = True
        raise asyncio.IncompleteReadError(b"", None)

    def _missing(self) -> int:
        return (self._stop or 0) - len(self._buffer)

    def _compact(self) -> None:
        """Forget what the broker has read."""
        if self._at == len(self._buffer):
            self._buffer.clear()
        elif self._at > COMPACT_AFTER:
            del self._buffer[: self._at]
        else:
            return
        self._at = self._told = 0


class TappedWriter(WriterAdapter):
    """What the broker writes to. It notes the CONNACK, and closes within a bounded time."""

    def __init__(
        self, inner: WriterAdapter, connection: Connection, answered: Callable[[int], None]
    ) -> None:
        """`answered` is told the code of the CONNACK before it is written."""
        self._inner = inner
        self._connection = connection
        self._answered = answered
        self._waiting_since: float | None = None
        self._closing = False

    def write(self, data: bytes) -> None:
        """Write to the client; nothing once it is being closed."""
        if self._closing:
            return
        connection = self._connection
        if connection.connect is not None and _is_connack(data):
            self._answered(data[3])
        self._inner.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken in most of what was written."""
        if self._closing:
            return
        self._waiting_since = time.monotonic()
        try:
            await self._inner.drain()
        except OSError:
            self._connection.end("client", time.monotonic())
            raise
        finally:
            self._waiting_since = None

    def stuck(self, now: float) -> float:
        """For how many seconds the client has not been reading what waits for it."""
        return 0.0 if self._waiting_since is None else now - self._waiting_since

    def get_peer_info(self) -> tuple[str, int] | None:
        """Address and port of the client."""
        return self._inner.get_peer_info()

    def get_ssl_info(self) -> ssl.SSLObject | None:
        """The TLS session, if there is one."""
        return self._inner.get_ssl_info()

    async def close(self) -> None:
        """Close; after `CLOSING` seconds without the client's help. Never raises OSError."""
        if self._closing:
            return
        self._closing = True
        self._connection.end("ids" if self._connection.faulty else "broker", time.monotonic())
        try:
            async with asyncio.timeout(CLOSING):
                await self._inner.close()
        except OSError:  # TimeoutError is one
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Cut the connection at once; the reader then meets the end of its stream."""
        self._closing = True
        transport = transport_of(self._inner)
        if transport is not None:
            transport.abort()


def _is_connack(data: bytes) -> bool:
    return len(data) >= CONNACK_SIZE and data[0] >> 4 == CONNACK
