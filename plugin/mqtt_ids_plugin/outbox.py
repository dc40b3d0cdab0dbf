"""The outbox: what the engine publishes leaves through the broker itself, in a task of its own.

`publish` returns at once. Alerts wait in a bounded queue whose oldest make room; of a retained
topic only the newest message waits, for the older ones are worth nothing.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from amqtt.broker import BrokerContext

from mqtt_ids.faults import Faults

LIMIT: Final = 1_000  # alerts
FLUSH_WITHIN: Final = 2.0  # seconds, at the end
POLL: Final = 0.01  # seconds


class Outbox:
    """Publishes on behalf of the broker, at the quality of service that each subscriber has."""

    def __init__(self, context: BrokerContext, backlog: Callable[[], int]) -> None:
        """`backlog` counts the messages that subscribers have yet to get."""
        self.dropped = 0  # alerts that made room for newer ones
        self._context = context
        self._backlog = backlog
        self._alerts: deque[tuple[str, bytes]] = deque()
        self._retained: dict[str, bytes] = {}
        self._news = asyncio.Event()
        self._faults = Faults()
        self._task: asyncio.Task[None] | None = None

    def publish(self, topic: str, data: bytes, retain: bool) -> None:  # noqa: FBT001 - the engine's
        """Send `data`, soon. Retained, it also replaces what is kept; empty, it removes that."""
        if retain:
            self._retained[topic] = data
        else:
            if len(self._alerts) >= LIMIT:
                self._alerts.popleft()
                self.dropped += 1
            self._alerts.append((topic, data))
        self._news.set()

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="mqtt-ids-outbox")

    async def stop(self) -> None:
        """Send what waits, as far as subscribers take it in time, then end."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_WITHIN):
                # The broker's queue has no event to wait for.
                while self._news.is_set() or self._backlog():  # noqa: ASYNC110
                    await asyncio.sleep(POLL)
        self._task.cancel()
        self._task = None

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            while self._alerts:
                topic, data = self._alerts.popleft()
                await self._safely(self._context.broadcast_message(topic, data))
            while self._retained:
                topic = next(iter(self._retained))
                data = self._retained.pop(topic)
                await self._safely(self._context.broadcast_message(topic, data))
                await self._safely(self._context.retain_message(topic, data))
            self._news.clear()

    async def _safely(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except Exception as error:  # noqa: BLE001 - the next message may go out
            self._faults.caught("publishing", error, time.monotonic())
