"""The broker's end of a pair: it only hands on what asyncio tells it."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqtt_ids.sensors.proxy.pair import Pair


class FarEnd(asyncio.BufferedProtocol):
    """The broker's end of a pair."""

    __slots__ = ("_buffer", "_pair")

    def __init__(self, pair: "Pair", buffer: memoryview) -> None:
        self._pair = pair
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """One buffer for all: whatever is read is taken out of it at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The broker's next bytes."""
        self._pair.from_broker(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """The same, of a layer."""
        self._pair.from_broker(data)

    def pause_writing(self) -> None:
        """The broker does not read: neither do we from the client."""
        if self._pair.transport is not None:
            self._pair.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self._pair.transport is not None:
            self._pair.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The broker has closed, or is gone."""
        self._pair.far_lost()
