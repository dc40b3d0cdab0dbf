"""Puts bans in force outside of us, through a sensor's hands: stored first, so that none is lost.

Whoever kills us between the two leaves at worst a ban that is stored and not in force.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from mqtt_ids.bans import Ban, Handle, HandleKind
from mqtt_ids.store import Store

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds for the disk


class Actuator(Protocol):
    """What a sensor can do to an offender. Its calls must return at once.

    A sensor that is asked about each connection has nothing to do to keep one out. Another one may
    learn late that it could not; it says so to `on_failure`, in the event loop, and the ban counts
    as none.
    """

    on_failure: Callable[[Handle, str], None]

    @property
    def offers(self) -> frozenset[HandleKind]:
        """By what it can take an offender."""

    def obstacle(self, handle: Handle) -> str | None:
        """Why this handle cannot be used, in words for people; None where it can."""

    def disconnect(self, handle: Handle) -> int:
        """Close the connections that bear `handle`; how many are being closed."""

    def keep_out(self, ban: Ban) -> None:
        """Put a ban in force, be it a second time, and close the connections that it meets."""

    def let_in(self, handle: Handle) -> None:
        """Take a ban out of force, be there one or none."""


class Bars:
    """Puts bans in force and takes them out; `failed` is told what a hand could not do at once."""

    def __init__(
        self, actuator: Actuator, store: Store, failed: Callable[[str, Exception], None]
    ) -> None:
        self._actuator = actuator
        self._store = store
        self._failed = failed
        self._unwritten: dict[Handle, Ban] = {}
        self._told = False  # that the disk does not take them

    def begin(self, ban: Ban) -> None:
        """Store it, then put it in force: within a second, whatever the disk does."""
        loop = asyncio.get_running_loop()

        def written() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: we are stopping
                loop.call_soon_threadsafe(self._written, ban)

        self._unwritten[ban.handle] = ban
        self._store.put_ban(ban, written)
        loop.call_later(PATIENCE, self._late, ban)

    def go_on(self, ban: Ban) -> None:
        """Put one in force that is stored already."""
        self._safely("keeping out", lambda: self._actuator.keep_out(ban))

    def end(self, handle: Handle, *, urgent: bool) -> None:
        """Forget it, and take it out of force."""
        self._store.drop_ban(handle, urgent=urgent)
        self.pause(handle)

    def pause(self, handle: Handle) -> None:
        """Take it out of force, and leave it stored."""
        self._unwritten.pop(handle, None)
        self._safely("letting in", lambda: self._actuator.let_in(handle))

    def _written(self, ban: Ban) -> None:
        self._told = False
        self._put(ban)

    def _put(self, ban: Ban) -> None:
        if self._unwritten.get(ban.handle) is ban:
            del self._unwritten[ban.handle]
            self.go_on(ban)

    def _late(self, ban: Ban) -> None:
        """Put it in force all the same: to protect the home comes first, and hands mark its end."""
        if self._unwritten.get(ban.handle) is ban:
            if not self._told:
                log.warning("the disk does not take a ban; it is in force, and a crash forgets it")
            self._told = True
            self._put(ban)

    def _safely(self, what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the sensor's hand
            self._failed(what, error)
