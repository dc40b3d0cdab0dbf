"""A client's connection and the one to the broker that belongs to it: bytes pass, unchanged.

    accepted ─► banned address? ─► CONNECT, whole, in time ─► may it come in? ─► broker ─► relay
                     │                      │                       │              │
                   closed                 closed                 CONNACK        CONNACK

In the relay each piece is written to the other side first; only then the witness hears it. Who does
not read is not read for: a full buffer on one side stops the reading on the other.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from mqtt_ids.sensors.proxy.calling import answer_tls, call
from mqtt_ids.sensors.proxy.far_end import FarEnd
from mqtt_ids.sensors.proxy.greetings import Refusal, refusal, refusal_code
from mqtt_ids.sensors.proxy.guard import Guard, objection
from mqtt_ids.sensors.proxy.options import Listener
from mqtt_ids.sensors.proxy.sieve import CannotSiftError
from mqtt_ids.sensors.proxy.web import WebTransport
from mqtt_ids.sensors.proxy.witness import Witness

if TYPE_CHECKING:
    from mqtt_ids.sensors.proxy.proxy import Proxy

HIGH: Final = 65_536  # bytes that may wait to be written before the other side is not read


class Pair(asyncio.BufferedProtocol):
    """The client's end, which leads. `far` is the transport to the broker, once there is one."""

    __slots__ = (
        "_calling",
        "_deaf",
        "_ended",
        "_guard",
        "_listener",
        "_proxy",
        "far",
        "first",
        "number",
        "opened",
        "over",
        "relaying",
        "replay",
        "securing",
        "transport",
        "witness",
    )

    def __init__(self, proxy: "Proxy", listener: Listener) -> None:
        self._proxy = proxy
        self._listener = listener
        self.transport: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self.witness: Witness | None = None
        self.number = 0
        self.opened = 0.0
        self.first: bytearray | None = bytearray()  # what came before the broker is there
        self.relaying = False
        self.securing = False  # TLS is being agreed upon
        self.replay: Callable[[bytes], None] | None = None  # gets what came meanwhile
        self.over = False  # told, and being closed
        self._calling = False  # the broker was called for
        self._ended = False  # the client has sent all that it had to send
        self._deaf = False
        self._guard: Guard | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self.transport = cast("asyncio.Transport", transport)
        if not self._proxy.admit(self):
            self.over = True
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(HIGH)
        if self._listener.tls is not None:
            self.securing = True
            self.transport.pause_reading()
            self._proxy.spawn(self._encrypt(self.transport, self._listener.tls))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """One buffer for all: whatever is read is taken out of it at once."""
        return self._proxy.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The client's next bytes."""
        self.take(bytes(self._proxy.buffer[:nbytes]))

    def take(self, data: bytes) -> None:
        """The client's next bytes."""
        if self.relaying and self.far is not None:
            if self._guard is None:
                self.far.write(data)
            elif not self._sift(self._guard, self.far, data):
                return
            self._hear(data)
        elif self.securing and self.first is not None:
            self.first += data  # the transport that it is to be answered on is not known yet
        elif not self.over:
            self._greet(data)

    def eof_received(self) -> bool:
        """The client has sent all; the broker's last words may still be for it."""
        witness = self.witness
        if self.over or witness is None:
            return False
        self._ended = True
        self._safely(lambda: witness.client_ended(self._proxy.clock()))
        if not self.relaying or self.far is None or not self.far.can_write_eof():
            return False
        self.far.write_eof()
        self._proxy.linger(self)
        return self._listener.tls is None and not self._listener.web

    def pause_writing(self) -> None:
        """The client does not read: neither do we from the broker."""
        if self.far is not None:
            self.far.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self.far is not None:
            self.far.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The client is gone; what it has said still goes to the broker."""
        self.transport = None
        self.end("client")
        self._forget()

    async def _encrypt(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        plain = transport.inner if isinstance(transport, WebTransport) else transport
        secured = None
        with contextlib.suppress(OSError, asyncio.CancelledError):
            secured = await answer_tls(plain, context, self._proxy.options.connect_within)
        if secured is None or self.over:
            transport.abort()
            self.connection_lost(None)
            return
        secured.set_write_buffer_limits(HIGH)
        if isinstance(transport, WebTransport):
            transport.inner = secured
        else:
            self.transport = secured
        self.securing = False
        early, self.first = bytes(self.first or b""), bytearray()
        (self.replay or self.take)(early)

    def _greet(self, data: bytes) -> None:
        """Bytes of the CONNECT, or of what should have been one."""
        if self.first is None:
            return
        self.first += data
        self._hear(data)
        witness = self.witness
        if self.over or witness is None or self._calling:
            return
        if witness.asked:
            reserved = self._proxy.options.reserved
            why = objection(witness.peer, reserved, self._proxy.barred)
            if why is not None:
                self.refuse(why)
                return
            if reserved:
                self._guard = Guard(reserved, witness.version)
            self._call()
        elif self._deaf or (witness.stumped and not self._proxy.options.reserved):
            self._call()
        elif witness.stumped:
            self.cut("ids")
        else:
            self._proxy.weigh(len(data))

    def _call(self) -> None:
        """Call the broker; the client's next words can wait."""
        self._proxy.greeted(self)
        if self.transport is not None and self.witness is not None:
            self._calling = True
            self.transport.pause_reading()
            self._proxy.spawn(self._dial(self.witness, self.transport))

    async def _dial(self, witness: Witness, transport: asyncio.Transport) -> None:
        proxy, peer = self._proxy, witness.peer
        here = (transport.get_extra_info("sockname") or ("", 0))[:2]
        try:
            within = proxy.options.broker_within
            there = (peer.address, peer.port)
            far = await call(proxy.upstream, FarEnd(self, proxy.buffer), there, here, within)
        except OSError as error:  # also of time and of TLS
            proxy.broker_is_away(error)
            if not self.over:
                self.refuse("unavailable")
            return
        proxy.broker_is_there()
        if self.over or far.is_closing():
            far.abort()
            self.end("broker")
            return
        self.far = far
        far.set_write_buffer_limits(HIGH)
        self._begin(far, witness)

    def _begin(self, far: asyncio.Transport, witness: Witness) -> None:
        """Give the broker what has come so far, and go on from there."""
        first, self.first = bytes(self.first or b""), None
        self.relaying = True
        connect = witness.peer.connect
        if self._guard is None or connect is None:
            far.write(first)
        else:
            far.write(first[: connect.size])
            if not self._sift(self._guard, far, first[connect.size :]):
                return
        if self.transport is not None:
            self.transport.resume_reading()

    def _sift(self, guard: Guard, far: asyncio.Transport, data: bytes) -> bool:
        """Pass on what may pass; False where the connection had to be cut."""
        try:
            passes = guard.sift(data)
        except CannotSiftError:
            self._hear(data)
            self.cut("ids")
            return False
        if passes:
            far.write(passes)
        if guard.dropped:
            self._proxy.dropped += guard.dropped
            guard.dropped = 0
            self._give_answers(guard)
        return True

    def _give_answers(self, guard: Guard) -> None:
        if self.witness is not None and self.witness.joined and self.transport is not None:
            self.transport.write(guard.answers())

    def from_broker(self, data: bytes) -> None:
        """The broker's next bytes."""
        if self.transport is None:
            return
        self.transport.write(data)
        witness = self.witness
        if witness is not None and not (witness.joined or self._deaf):
            self._safely(lambda: witness.server(data, self._proxy.clock()))
            if witness.peer.client_id is not None:
                self._proxy.joined(self)
        if self._guard is not None:
            self._guard.broker_said(data)
            self._give_answers(self._guard)

    def _hear(self, data: bytes) -> None:
        witness = self.witness
        if witness is not None and not self._deaf:
            self._safely(lambda: witness.client(data, self._proxy.clock()))

    def _safely(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - the bytes go on, whatever is wrong with us
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """We cannot watch this one any more."""
        self._deaf = True
        self._proxy.failed(error)
        if self._proxy.options.fail_closed:
            self.cut("ids")

    def refuse(self, why: Refusal) -> None:
        """Answer the CONNECT ourselves, and close."""
        witness = self.witness
        if witness is None or self.transport is None:
            return
        self.transport.write(refusal(why, witness.version))
        code, away = refusal_code(why, witness.version), why == "unavailable"
        if not away:  # else it is no fault of the client's, and nothing to hold against it
            self._safely(lambda: witness.refused(code, self._proxy.clock()))
        self.end("broker" if away else "ids")

    def end(self, by: str) -> None:
        """It is over: both sides get what is on its way to them, within a bounded time."""
        self._tell_end(by)
        for transport in (self.transport, self.far):
            if transport is not None:
                transport.close()
        if self.transport is not None or self.far is not None:
            self._proxy.linger(self)

    def cut(self, by: str) -> None:
        """It is over at once."""
        self._tell_end(by)
        for transport in (self.transport, self.far):
            if transport is not None:
                transport.abort()

    def _tell_end(self, by: str) -> None:
        if self.over:
            return
        self.over = True
        self.first = None
        witness = self.witness
        if witness is not None:
            self._safely(lambda: witness.end(by, self._proxy.clock()))
        self._proxy.left(self)

    def far_lost(self) -> None:
        """The connection to the broker is over; before it was handed over, its caller knows."""
        if self.far is None:
            return
        self.far = None
        self.end("client" if self._ended else "broker")
        self._forget()

    def _forget(self) -> None:
        if self.transport is None and self.far is None:
            self._proxy.forget(self)
