"""Back-pressure: nobody's messages are read faster than the broker can pass them on.

amqtt's queues have no bound, and a client that sends without pause keeps its reader busy. So a
reader is held before its next PUBLISH while too much is waiting; the peer's TCP window fills, and
the broker's memory does not.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mqtt_ids_plugin.broker_access import unserved
from mqtt_ids_plugin.connection import Connection

OWN: Final = 200  # messages of one client that wait to be looked at
ALL: Final = 2_000  # messages that wait to be written to their subscribers
BURST: Final = 32  # packets that one client may send before the others have their turn
POLL: Final = 0.004  # seconds


class Pressure:
    """Says when a client must wait. One task looks at the queues, only while somebody waits."""

    def __init__(self, backlog: Callable[[], int], clear_done: Callable[[], int]) -> None:
        """`backlog` counts the messages that all clients together have in the broker, O(1).

        `clear_done` counts them exactly, and may take its time.
        """
        self._backlog = backlog
        self._clear_done = clear_done
        self._relief: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def high(self, connection: Connection) -> bool:
        """Whether this client's next message must wait. O(1)."""
        return self._backlog() > ALL or unserved(connection.session) > OWN

    async def ease(self, connection: Connection) -> None:
        """Wait until this client's next message may be read, or its connection is over."""
        connection.paused = True
        try:
            while self.high(connection) and not connection.closed:
                if self._backlog() > ALL:
                    await self._relieved()
                else:
                    await asyncio.sleep(POLL)
        finally:
            connection.paused = False

    @property
    def lasting(self) -> bool:
        """Whether clients are waiting for others to read."""
        return self._relief is not None

    async def _relieved(self) -> None:
        if self._relief is None:
            self._relief = asyncio.Event()
            self._task = asyncio.create_task(self._watch(self._relief))
        await self._relief.wait()

    async def _watch(self, relief: asyncio.Event) -> None:
        try:
            # The broker's queues have no event to wait for.
            while self._clear_done() > ALL // 2:  # noqa: ASYNC110
                await asyncio.sleep(POLL)
        finally:
            self._relief = self._task = None
            relief.set()
