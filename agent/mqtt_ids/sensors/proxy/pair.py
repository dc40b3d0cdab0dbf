"""A client's connection and the one to the broker that belongs to it: bytes pass, unchanged.

    accepted ─► banned address? ─► CONNECT, whole, in time ─► may it come in? ─► broker ─► relay
                     │                      │                       │              │
                   closed                 closed                 CONNACK        CONNACK

In the relay each piece is written to the other side first; only then the witness hears it. Who does
not read is not read for: a full buffer on one side stops the reading on the other.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

from mqtt_ids.packets import MQTT_5
from mqtt_ids.sensors.proxy.far_end import FarEnd
from mqtt_ids.sensors.proxy.greetings import DISMISSAL, Refusal, refusal, refusal_code
from mqtt_ids.sensors.proxy.guard import Guard, objection
from mqtt_ids.sensors.proxy.sieve import CannotSiftError
from mqtt_ids.sensors.proxy.witness import Witness

if TYPE_CHECKING:
    from mqtt_ids.sensors.proxy.proxy import Proxy

HIGH: Final = 65_536  # bytes that may wait to be written before the other side is not read
LIGHT: Final = 2_048  # bytes held of one client that are not counted


class Pair(asyncio.BufferedProtocol):
    """The client's end, which leads. `far` is the transport to the broker, once there is one."""

    __slots__ = (
        "_dialling",
        "_ended",
        "_guard",
        "_heavy",
        "_proxy",
        "far",
        "first",
        "number",
        "over",
        "relaying",
        "transport",
        "witness",
    )

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self.transport: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self.witness: Witness | None = None
        self.number = 0
        self.first: bytearray | None = bytearray()  # what came before the broker is there
        self.relaying = False
        self.over = False  # told, and being closed
        self._dialling: asyncio.Task[None] | None = None  # the broker is being called
        self._ended = False  # the client has sent all that it had to send
        self._heavy = False  # what is held of it counts
        self._guard: Guard | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH)
        if not self._proxy.admit(self):
            self.over = True
            self.transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """One buffer for all: whatever is read is taken out of it at once."""
        return self._proxy.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The client's next bytes."""
        self.data_received(bytes(self._proxy.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """The same, of a layer."""
        if self.relaying and self.far is not None and self.witness is not None:
            passed = self._pass_on(self.far, data)
            self.witness.client(data)
            if not passed:
                self.cut("ids")
            self._weigh()
        elif not self.over:
            self._greet(data)

    def eof_received(self) -> bool:
        """The client has sent all; the broker's last words may still be for it."""
        witness = self.witness
        if self.over or witness is None:
            return False
        self._ended = True
        witness.client_ended()
        if not self.relaying or self.far is None or not self.far.can_write_eof():
            return False
        with contextlib.suppress(OSError):  # the broker has reset it
            self.far.write_eof()
        self._proxy.linger(self)
        return True

    def pause_writing(self) -> None:
        """The client does not read: neither do we from the broker."""
        self._proxy.stalled(self)
        if self.far is not None:
            self.far.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._proxy.moves(self)
        if self._guard is not None:
            self._give_answers(self._guard)
        if self.far is not None:
            self.far.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The client is gone; what it has said still goes to the broker."""
        self.transport = None
        if self._dialling is not None:
            self._dialling.cancel()
        self.end("client")
        self._forget()

    def _greet(self, data: bytes) -> None:
        """Bytes of the CONNECT, or of what should have been one."""
        witness = self.witness
        if self.first is None or witness is None:
            return
        self.first += data
        witness.client(data)
        if self.over or self._dialling is not None:
            return
        self._weigh()
        if witness.asked:
            reserved = self._proxy.options.reserved
            why = objection(witness.peer, reserved, self._proxy.barred)
            if why is not None:
                self.refuse(why)
                return
            if reserved:
                self._guard = Guard(reserved, witness.version)
            self._call()
        elif witness.deaf or (witness.stumped and not self._proxy.options.reserved):
            self._call()
        elif witness.stumped:
            self.cut("ids")

    def _call(self) -> None:
        """Call the broker; the client's next words can wait."""
        self._proxy.greeted(self)
        if self.transport is not None and self.witness is not None:
            self.transport.pause_reading()
            self._dialling = self._proxy.spawn(self._dial(self.witness, self.transport))

    async def _dial(self, witness: Witness, transport: asyncio.Transport) -> None:
        proxy = self._proxy
        try:
            far = await proxy.caller.call(FarEnd(self, proxy.buffer), witness.peer, transport)
        except Exception as error:  # noqa: BLE001 - nobody shall wait for ever, whatever it is
            self._dialling = None
            if isinstance(error, OSError):  # also of time and of TLS
                proxy.broker_is_away(error)
            else:
                proxy.failed(error)
            if not self.over:
                self.refuse("unavailable")
            return
        self._dialling = None
        proxy.broker_is_there()
        if self.over or far.is_closing():
            far.abort()
            self.end("broker")
            return
        self.far = far
        far.set_write_buffer_limits(HIGH)
        self._begin(far, witness, transport)

    def _begin(self, far: asyncio.Transport, witness: Witness, client: asyncio.Transport) -> None:
        """Give the broker what has come so far, and go on from there."""
        first, self.first = bytes(self.first or b""), None
        self.relaying = True
        connect = witness.peer.connect
        start = 0 if self._guard is None or connect is None else connect.size
        if start:
            far.write(first[:start])
        if not self._pass_on(far, first[start:]):
            self.cut("ids")
            return
        self._weigh()
        if client.get_write_buffer_size() > HIGH:  # answers to pings of a WebSocket
            far.pause_reading()
        if far.get_write_buffer_size() <= HIGH:
            client.resume_reading()

    def _pass_on(self, far: asyncio.Transport, data: bytes) -> bool:
        """Write what may pass; False where the connection has to be cut."""
        guard = self._guard
        if guard is None:
            far.write(data)
            return True
        try:
            passes, dropped = guard.sift(data)
        except CannotSiftError:
            return False
        except Exception as error:  # noqa: BLE001 - nothing may pass that was not sifted
            self._proxy.failed(error)
            return False
        if passes:
            far.write(passes)
        if dropped:
            self._proxy.dropped += dropped
            self._give_answers(guard)
        return True

    def _give_answers(self, guard: Guard) -> None:
        """Tell the client of what was taken out; not one who does not read, for we hold that."""
        client, witness = self.transport, self.witness
        if not guard.owes or client is None or witness is None:
            return
        if witness.joined and client.get_write_buffer_size() <= HIGH:
            client.write(guard.answers())

    def from_broker(self, data: bytes) -> None:
        """The broker's next bytes."""
        if self.transport is None:
            return
        self.transport.write(data)
        witness = self.witness
        if witness is not None and not (witness.joined or witness.deaf):
            witness.server(data)
            if witness.peer.client_id is not None:
                self._proxy.joined(self)
        if self._guard is not None:
            self._guard.broker_said(data)
            self._give_answers(self._guard)

    def _weigh(self) -> None:
        """Count what is held of it."""
        held = len(self.first or b"") + (0 if self.witness is None else self.witness.held)
        held += 0 if self._guard is None else self._guard.held
        if self._heavy or held > LIGHT:
            self._heavy = held > LIGHT and not self.over
            self._proxy.budget.hold(self, held if self._heavy else 0)

    def failed(self, error: Exception) -> None:
        """We cannot watch this one any more."""
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
            witness.refused(code)
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

    def dismiss(self) -> None:
        """It is over at once, for what it did; who speaks MQTT 5 is told so if it listens."""
        client, witness, guard = self.transport, self.witness, self._guard
        if client is None or witness is None or self.over:
            return
        listens = guard is not None and guard.between_packets and not client.get_write_buffer_size()
        if not (listens and witness.joined and witness.version == MQTT_5):
            self.cut("ids")
            return
        client.write(DISMISSAL)
        client.close()
        self._tell_end("ids")
        if self.far is not None:
            self.far.abort()
        self._proxy.linger(self)

    def give_up(self) -> None:
        """It is over at once: its CONNECT takes too long, or it makes us hold too much."""
        if self.witness is not None:
            self.witness.client_ended()
        self.cut("ids")

    def _tell_end(self, by: str) -> None:
        if self.over:
            return
        self.over = True
        self.first = None
        self._weigh()
        if self.witness is not None:
            self.witness.end(by)
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
