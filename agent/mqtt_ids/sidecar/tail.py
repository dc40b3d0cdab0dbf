"""The log file's new lines, brought to the event loop in shares that leave it time for others."""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from mqtt_ids.sensors.mosquitto.follow import Follower

PAUSE: Final = 0.05  # seconds between two looks at a file that has nothing new
SHARE: Final = 1000  # lines that the event loop takes at once
LASTING: Final = 1.0  # seconds of trouble before it is told: a rotation may make some
LATE: Final = 5.0  # seconds without reading after which what has gathered is old
SMOOTH: Final = 0.7  # how much of the reading speed is what it was


class Take(Protocol):
    """Lines of the file; how many bytes it had beyond them, and whether they were long there."""

    def __call__(self, lines: list[bytes], behind: int, *, old: bool) -> None:
        """Take them."""


class Tail:
    """Reads in a thread of its own what `take` gets in the event loop.

    `tell` gets one line for people whenever the file can be read no more, or again.
    """

    def __init__(
        self,
        path: Path,
        *,
        take: Take,
        tell: Callable[[str], None],
        gone: Callable[[], None],
    ) -> None:
        self._path = path
        self._take = take
        self._tell = tell
        self._gone = gone
        self._follower = Follower(path)
        self._told: str | None = None  # which trouble
        self._blind_since: float | None = None
        self._old = 0  # bytes that are still to be read of what has gathered while there was
        self._speed = 0.0  # bytes a second, while there is more than we can take

    @property
    def lag(self) -> float:
        """How many seconds it will take to read what waits."""
        behind = self._follower.behind
        return behind / self._speed if behind and self._speed else 0.0

    @property
    def lost(self) -> int:
        """Lines that were too long, or torn when the file was cut."""
        return self._follower.too_long + self._follower.torn

    async def run(self) -> None:
        """Follow the file until cancelled."""
        try:
            while True:
                await self._round()
        finally:
            self._follower.close()

    async def _round(self) -> None:
        began = time.monotonic()
        lines, beyond = await asyncio.to_thread(self._read)
        size = _size(lines)
        self._look(size + beyond)
        rest = size + beyond
        for share in _shares(lines):
            rest -= _size(share)
            self._take(share, rest, old=self._old > 0)
            self._old = max(self._old - _size(share), 0)
            await asyncio.sleep(0)
        if not beyond:
            self._old = 0
        if not lines or not self._follower.behind:
            self._speed = 0.0
            await asyncio.sleep(PAUSE)
            return
        speed = size / max(time.monotonic() - began, 1e-3)
        self._speed = SMOOTH * self._speed + (1 - SMOOTH) * speed if self._speed else speed

    def _read(self) -> tuple[list[bytes], int]:
        return list(self._follower.read()), self._follower.behind

    def _look(self, found: int) -> None:
        """Tell each trouble once, and its end. `found`: how many bytes are there to read."""
        trouble, now, since = self._follower.state, time.monotonic(), self._blind_since
        if trouble is not None:
            self._blind_since = since = now if since is None else since
            if trouble != self._told and now - since >= LASTING:
                self._told = trouble
                self._tell(f"log: {trouble}")
                self._gone()
            return
        if since is not None:
            self._old = found if now - since >= LATE else 0
        if self._told is not None:
            self._tell(f"log: {self._path} can be read")
        self._told = self._blind_since = None


def _size(lines: list[bytes]) -> int:
    return sum(map(len, lines)) + len(lines)


def _shares(lines: list[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while share := list(islice(rest, SHARE)):
        yield share
