"""An agent runs until a signal, and systemd is kept informed."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from typing import Protocol

from mqtt_ids.service.notices import Notices

__all__ = ["Agent", "serve"]

log = logging.getLogger(__name__)


class Agent(Protocol):
    """What is run."""

    async def start(self) -> None:
        """Begin; may raise what a person can mend, in one line."""

    async def stop(self) -> None:
        """End, also after a start that has raised."""


async def serve(agent: Agent, notices: Notices) -> None:
    """Start, wait for SIGINT or SIGTERM, stop. Raises as the start does."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        await agent.start()
        notices.ready()
        async with _watched(notices):
            await stop.wait()
        log.info("stopping")
    finally:
        notices.stopping()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)  # a second signal ends us at once
        await agent.stop()


@contextlib.asynccontextmanager
async def _watched(notices: Notices) -> AsyncIterator[None]:
    """Meanwhile the watchdog hears that our tasks have their turn."""
    task = asyncio.create_task(_live(notices), name="mqtt-ids-alive")
    try:
        yield
    finally:
        task.cancel()


async def _live(notices: Notices) -> None:
    while notices.every is not None:
        notices.alive()
        await asyncio.sleep(notices.every)
