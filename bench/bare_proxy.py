"""A pass-through that does nothing else, to measure the inline proxy against."""

import asyncio
from typing import cast


class End(asyncio.Protocol):
    """One end; what comes is written to the other."""

    def __init__(self, target: int | None = None, other: "End | None" = None) -> None:
        self._target = target
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Call the other side, if nobody has."""
        self.transport = cast("asyncio.Transport", transport)
        if self._target is not None:
            loop = asyncio.get_running_loop()
            call = loop.create_connection(lambda: End(other=self), "127.0.0.1", self._target)
            self._call = loop.create_task(call)
        elif self.other is not None:
            self.other.other = self
            self.transport.write(self.other.early)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is None or self.other.transport is None:
            self.early += data
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Hold the other side back."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let it go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The other side ends as well."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def serve(port: int, target: int) -> None:
    """Listen on `port` until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: End(target), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()
