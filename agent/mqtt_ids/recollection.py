"""What was learned, over restarts: when it is written, and how it is taken up again.

What is learned belongs to what the sensor sees: who suddenly sees publishes must not hold that
nobody ever published. So there is a file for each view. A full snapshot is written each minute, or
less often where that would wear the disk: see `pace`.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Final

from mqtt_ids.detecting import CLIENTS
from mqtt_ids.events import Sees
from mqtt_ids.memory import Memory
from mqtt_ids.snapshot import LONGEST, Snapshot, UnusableSnapshot, decode, encode
from mqtt_ids.store import Store

log = logging.getLogger(__name__)

EVERY: Final = 60.0  # seconds between two snapshots at the least
DAY_BYTES: Final = 24_000_000  # what snapshots may write in a day
PAGE: Final = 4096
PAGES_BESIDE: Final = 2  # that a new file takes beside its content, in the folder
VIEWS_KEPT: Final = 4
LONGEST_AWAY: Final = 7 * 86_400.0  # seconds; a clock without a battery may be years off

Memories = Mapping[str, Memory]


class Recollection:
    """Keeps the memories of one engine's detectors in the state folder."""

    def __init__(self, store: Store, wall: Callable[[], float]) -> None:
        self._store = store
        self._files = store.files
        self._wall = wall
        self._kept_at = -math.inf  # on the sensor's clock; or when we began
        self._size = 0

    def take_up(self, memories: Memories, sees: Sees, now: float) -> None:
        """Let fresh detectors know what was learned with this view. Never raises.

        A file that cannot be used is set aside, with one line in the log.
        """
        self._kept_at = now
        name = _file(sees)
        self._files.keep_newest(_file_of("*"), VIEWS_KEPT)
        try:
            data = self._files.read(name, LONGEST)
            if data is None:
                return
            self._put_back(decode(data), memories, now)
            self._size = len(data)
        except OSError as error:
            log.warning("%s: cannot be read: %s; learning anew", name, error.strerror)
        except UnusableSnapshot as error:
            aside = self._files.set_aside(name)
            log.warning("%s %s: set aside as %s, learning anew", name, error, aside)

    def keep(self, memories: Memories, sees: Sees, now: float) -> None:
        """Write what is known, if it is time."""
        if memories and now - self._kept_at >= pace(self._size):
            self._keep(memories, sees, now)

    def hurry(self) -> None:
        """A person has changed what is known: write it with the next tick."""
        self._kept_at = -math.inf

    def keep_at_last(self, memories: Memories, sees: Sees, now: float) -> None:
        """Write what is known, for nobody learns any more: unless that was just done.

        Who is restarted again and again must not wear the disk.
        """
        if memories and now - self._kept_at >= EVERY:
            self._keep(memories, sees, now)

    def _keep(self, memories: Memories, sees: Sees, now: float) -> None:
        self._kept_at = now
        snapshot = Snapshot(
            wall=self._wall(), parts={name: memory.take(now) for name, memory in memories.items()}
        )

        def make() -> bytes:
            data = encode(snapshot)
            self._size = len(data)
            return data

        self._store.put_file(_file(sees), make)

    def _put_back(self, snapshot: Snapshot, memories: Memories, now: float) -> None:
        gone = min(max(self._wall() - snapshot.wall, 0.0), LONGEST_AWAY)
        for name, learned in snapshot.parts.items():
            if name in memories:
                memories[name].put_back(learned, now, gone)
            if name == CLIENTS:
                log.info("known from before: %d clients", len(learned.clients.keys))


def pace(size: int) -> float:
    """Seconds between two snapshots of so many bytes, that a day's bytes are not exceeded."""
    pages = -(-size // PAGE) + PAGES_BESIDE
    return max(EVERY, pages * PAGE * 86_400.0 / DAY_BYTES)


def _file(sees: Sees) -> str:
    return _file_of(f"{sees.value:x}")


def _file_of(view: str) -> str:
    return f"normals-{view}.state"
