"""Faults of our own: counted, logged with their traceback once a minute, never passed on.

The broker must go on when we fail, and a log must not fill the disk when we fail at each event.
"""

import logging

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds from one traceback in the log to the next


class Faults:
    """How often something inside failed, and what it was at last."""

    def __init__(self) -> None:
        self.count = 0
        self.last: str | None = None
        self._logged: float | None = None

    def caught(self, where: str, error: Exception, now: float) -> None:
        """Take note of an exception at monotonic time `now`."""
        self.count += 1
        self.last = f"{where}: {type(error).__name__}: {error}"[:300]
        if self._logged is None or now - self._logged >= EVERY:
            self._logged = now
            log.error("%s failed (%d faults so far)", where, self.count, exc_info=error)
