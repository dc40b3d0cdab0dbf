"""TLS as a layer: OpenSSL in memory, as the ssl module has it, so that nothing waits on a socket.

asyncio's own keeps 256 kB for each connection from its first byte on, finished handshake or not,
which is too much where anybody may connect.
"""

import asyncio
import contextlib
import ssl
from typing import Final

from mqtt_ids.sensors.proxy.budget import Budget
from mqtt_ids.sensors.proxy.layer import Above, Layer

RECORD: Final = 16_384  # bytes given to OpenSSL at once, as in a TLS record: its buffers only grow
MOST_SAID: Final = 65_536  # bytes that OpenSSL answers by itself to one who does not read
HANDSHAKE: Final = 16_384  # bytes that count for one that is not finished; it takes some 50,000


class TlsLayer(Layer):
    """Speaks TLS with who is below. Whoever breaks its rules is told, and closed.

    With `name` it calls a server, whose certificate must be for it; without, it answers clients.
    """

    __slots__ = (
        "_agreed",
        "_agreement",
        "_budget",
        "_come",
        "_context",
        "_go",
        "_name",
        "_said",
        "_stuck",
        "_tls",
    )
    has_halves = True

    def __init__(
        self,
        context: ssl.SSLContext,
        above: Above,
        buffer: memoryview,
        budget: Budget,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(above, buffer)
        self._budget = budget
        self._context = context
        self._name = name
        self._come, self._go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None  # as soon as there is something to say
        self._agreed = False
        self._agreement: asyncio.Future[None] | None = None
        self._stuck = False  # what we write is not read
        self._said = 0  # bytes of answers, since then

    async def greet(self) -> None:
        """As a client: agree with the server. Raises OSError."""
        if self._below is None or self._closed:
            raise ConnectionResetError("the connection was closed")
        self._agreement = asyncio.get_running_loop().create_future()
        self.data_received(b"")
        await self._agreement

    def data_received(self, data: bytes) -> None:
        """Decrypt, and hand up."""
        for at in range(0, len(data) or 1, RECORD):
            if not (self._closed or self._ended):
                self._take(data[at : at + RECORD])

    def _take(self, data: bytes) -> None:
        self._come.write(data)
        plain, ended, error = self._decrypt()
        said = self._go.read()
        self.send_below(said)
        if self._stuck:  # who asks for new keys again and again would fill our memory
            self._said += len(said)
            if self._said > MOST_SAID:
                self.abort()
                return
        if self._agreed and self._agreement is not None and not self._agreement.done():
            self._agreement.set_result(None)
        for each in plain:
            self.hand_up(each)
        if error is not None:
            self._fail(error)
        elif ended:
            self.end_up()

    def _decrypt(self) -> tuple[list[bytes], bool, ssl.SSLError | None]:
        """What came, whether it has ended, and what is wrong with it."""
        found: list[bytes] = []
        try:
            if self._tls is None:
                self._context.options |= ssl.OP_NO_RENEGOTIATION  # then writing never has to wait
                self._budget.hold(self, HANDSHAKE)
                self._tls = self._context.wrap_bio(
                    self._come,
                    self._go,
                    server_side=self._name is None,
                    server_hostname=self._name,
                )
            if not self._agreed:
                self._tls.do_handshake()
                self._agreed = True
                self._budget.hold(self, 0)
            while plain := self._tls.read(RECORD):
                found.append(plain)
        except ssl.SSLWantReadError:
            return found, False, None
        except ssl.SSLZeroReturnError:
            return found, True, None
        except ssl.SSLError as error:
            return found, False, error
        return found, True, None

    def _fail(self, error: Exception) -> None:
        """It is over; what OpenSSL has to say about it was sent."""
        if self._agreement is not None and not self._agreement.done():
            self._agreement.set_exception(error)
        self._closed = True
        self.below.close()

    def pause_writing(self) -> None:
        """Enough waits to be written."""
        self._stuck = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does not any more."""
        self._stuck = False
        self._said = 0
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        self._budget.hold(self, 0)
        if self._agreement is not None and not self._agreement.done():
            self._agreement.set_exception(ConnectionResetError("the connection was closed"))
        super().connection_lost(exc)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt, and send."""
        if self._closed or self._tls is None or not self._agreed:
            return
        view = memoryview(data)
        try:
            for at in range(0, len(view), RECORD):
                self._tls.write(view[at : at + RECORD])
                self.send_below(self._go.read())
        except ssl.SSLError as error:
            self._fail(error)

    def close(self) -> None:
        """Say goodbye, and close once all is written; nobody waits for an answer."""
        if not self._closed and self._tls is not None and self._agreed:
            with contextlib.suppress(ssl.SSLError):  # among them that the other's is not there yet
                self._tls.unwrap()
            self.send_below(self._go.read())
        super().close()

    def give_up(self) -> None:
        """Too many have not finished their handshake, and this one is the oldest."""
        self.abort()
