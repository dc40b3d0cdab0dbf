"""MQTT over WebSocket as a layer: frames are taken off here, and only their payloads pass.

No extension is agreed upon, compression neither: what a client sends is as long as it seems.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from mqtt_ids.sensors.proxy.budget import Budget
from mqtt_ids.sensors.proxy.layer import Above, Layer

SPOKEN: Final = ("mqtt", "mqttv3.1")  # subprotocols (MQTT 5, section 6)
MOST_BEFORE: Final = 400_000  # bytes of a message, while nobody knows who it is from
MOST: Final = 4 * 1024 * 1024  # bytes of one from whom the broker has accepted
MOST_BEHIND: Final = 16 * 1024 * 1024  # bytes of one from the broker
MOST_PONGS: Final = 65_536  # bytes of answers to pings for one who does not read them

_quiet = logging.getLogger(f"{__name__}.frames")  # it would log frames, and each connection
_quiet.setLevel(logging.CRITICAL)


class WebLayer(Layer):
    """Each write becomes a binary message; of what comes a message's end is not looked at.

    `failed` hears of an exception, which also closes the connection.
    """

    __slots__ = ("_agreement", "_budget", "_failed", "_pongs", "_protocol", "_stuck")

    def __init__(
        self,
        protocol: ServerProtocol | ClientProtocol,
        above: Above,
        buffer: memoryview,
        budget: Budget,
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(above, buffer)
        self._protocol = protocol
        self._budget = budget
        self._failed = failed
        self._agreement: asyncio.Future[None] | None = None
        self._stuck = False  # what we write is not read
        self._pongs = 0  # bytes, since then

    async def greet(self) -> None:
        """As a client: ask the server for a WebSocket. Raises OSError."""
        if self._below is None or self._closed or not isinstance(self._protocol, ClientProtocol):
            raise ConnectionResetError("the connection was closed")
        self._agreement = asyncio.get_running_loop().create_future()
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        await self._agreement

    def trust(self, budget: Budget) -> None:
        """The broker has accepted who is below: longer messages may come, and count in `budget`."""
        self._protocol.max_size = MOST
        self._budget.hold(self, 0)
        self._budget = budget

    def data_received(self, data: bytes) -> None:
        """Take the frames off, and hand up what was in them."""
        while data and not (self._closed or self._ended):
            # The library takes what comes too early, before our answer, for frames of a WebSocket.
            line = data.find(b"\n") + 1 if self._protocol.state is State.CONNECTING else 0
            self._receive(data[:line] if line else data)
            data = data[line:] if line else b""

    def _receive(self, data: bytes) -> None:
        try:
            self._protocol.receive_data(data)
            payload: list[bytes] = []
            for event in self._protocol.events_received():
                if not self._take(event, payload):
                    break
            self.hand_up(payload[0] if len(payload) == 1 else b"".join(payload))
            self._flush()
        except Exception as error:  # noqa: BLE001 - else asyncio would log each
            self._failed(error)
            self.give_up()
        self._weigh()

    def _take(self, event: Event, payload: list[bytes]) -> bool:
        """Whether those that follow count."""
        if isinstance(event, Request):
            self._respond(cast("ServerProtocol", self._protocol), event)
        elif isinstance(event, Response):
            self._answered()
        elif event.opcode is Opcode.TEXT:  # MQTT 5, section 6
            self._protocol.fail(1003, "MQTT is binary")
            return False
        elif event.opcode is Opcode.PING:
            return self._ponged(event)
        elif event.opcode in {Opcode.BINARY, Opcode.CONT}:
            payload.append(bytes(event.data))
        return True

    @staticmethod
    def _respond(server: ServerProtocol, request: Request) -> None:
        try:
            response = server.accept(request)
        except UnicodeError:  # the library quotes what was no text
            response = server.reject(HTTPStatus.BAD_REQUEST, "no WebSocket\n")
        server.send_response(response)

    def _weigh(self) -> None:
        held = len(self._protocol.reader.buffer) + sum(map(len, self._waiting or ()))
        self._budget.hold(self, 0 if self._closed else held)

    def _release(self) -> None:
        super()._release()
        self._weigh()

    def _answered(self) -> None:
        if self._agreement is None or self._agreement.done():
            return
        error = self._protocol.handshake_exc
        if error is None:
            self._agreement.set_result(None)
        else:
            why = str(error) if isinstance(error, InvalidHandshake) else "no answer of HTTP"
            self._agreement.set_exception(ConnectionRefusedError(f"no WebSocket there: {why}"))

    def _ponged(self, ping: Frame) -> bool:
        """A ping was answered; one who only asks would fill our memory."""
        if self._stuck:
            self._pongs += len(ping.data) + 2
            if self._pongs > MOST_PONGS:
                self.abort()
                return False
        return True

    def _flush(self) -> None:
        """Send what the protocol wants to say, and end where it has come to its end."""
        over = self._protocol.state in {State.CLOSING, State.CLOSED}
        for data in self._protocol.data_to_send():
            over = over or not data
            self.send_below(data)
        if over:
            self._answered()
            self.end_up()

    def eof_received(self) -> bool:
        """Nothing more comes from below."""
        self._protocol.receive_eof()
        self._flush()
        return super().eof_received()

    def pause_writing(self) -> None:
        """Enough waits to be written."""
        self._stuck = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does not any more."""
        self._stuck = False
        self._pongs = 0
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """What is below is gone."""
        self._budget.hold(self, 0)
        self._protocol.reader.buffer.clear()  # the library's objects wait for the collector
        if self._agreement is not None and not self._agreement.done():
            self._agreement.set_exception(ConnectionResetError("the connection was closed"))
        super().connection_lost(exc)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send it as one message; nothing where the WebSocket is not open."""
        if self._protocol.state is State.OPEN and not self._closed:
            self._protocol.send_binary(bytes(data))
            self._flush()

    def close(self) -> None:
        """Say goodbye, and close once all is written."""
        if self._protocol.state is State.OPEN and not self._closed:
            self._protocol.send_close(1000)
            for data in self._protocol.data_to_send():
                self.send_below(data)
        super().close()

    def give_up(self) -> None:
        """Hold nothing any more."""
        self._budget.hold(self, 0)
        self.abort()


def server_protocol(origins: Sequence[str]) -> ServerProtocol:
    """For who comes. With `origins`, a page in a browser must be from one of them."""
    allowed = [*map(Origin, origins), None] if origins else None  # None: who is no browser
    return ServerProtocol(
        origins=allowed, select_subprotocol=_choose, max_size=MOST_BEFORE, logger=_quiet
    )


def client_protocol(host: str, path: str, *, encrypted: bool) -> ClientProtocol:
    """For the broker; `host` with its port, as in a URL."""
    uri = parse_uri(f"{'wss' if encrypted else 'ws'}://{host}{path}")
    return ClientProtocol(
        uri, subprotocols=[Subprotocol("mqtt")], max_size=MOST_BEHIND, logger=_quiet
    )


def _choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first that we speak; who offers none is not asked for one, as brokers do."""
    return next((each for each in offered if each in SPOKEN), None)
