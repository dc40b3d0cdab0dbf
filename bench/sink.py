"""A broker that takes in everything and does nothing with it: python bench/sink.py PORT.

It accepts every CONNECT, answers a PINGREQ that ends what it has read, and a PUBLISH at QoS 1 where
all of a connection have the size of its first. So what stands in front of it is what is measured.
"""

import asyncio
import sys
from typing import Final, cast

BUFFER: Final = memoryview(bytearray(262_144))
CONNACK: Final = b"\x20\2\0\0"
PINGREQ: Final = b"\xc0\0"
PINGRESP: Final = b"\xd0\0"
PUBACK: Final = b"\x40\2\0\1"


class Swallow(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._size = 0  # of each PUBLISH at QoS 1
        self._part = 0  # bytes of the next one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """The same for all."""
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Swallow."""
        if self._transport is None:
            return
        if not self._greeted:
            self._greeted = True
            self._transport.write(CONNACK)
        elif BUFFER[nbytes - 2 : nbytes].tobytes() == PINGREQ:
            self._transport.write(PINGRESP)
        elif self._size or BUFFER[0] == 0x32:
            self._size = self._size or 2 + BUFFER[1]
            count, self._part = divmod(self._part + nbytes, self._size)
            self._transport.write(PUBACK * count)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Swallow, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
