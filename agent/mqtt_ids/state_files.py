"""Whole files in the state folder: each is replaced at once, or stays as it was.

A file that waits to be written is made by whoever writes it, in the writer's thread. Of one name
only the latest waits.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_NEW: Final = ".new"
_ASIDE: Final = ".set-aside"


class StateFiles:
    """The files of one folder. `failures` counts those that could not be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], bytes]] = {}
        self.failing = False  # whether the disk refused the latest one
        self.failures = 0

    @property
    def waiting(self) -> bool:
        """Whether any file is to be written."""
        return bool(self._waiting)

    def put(self, name: str, make: Callable[[], bytes]) -> None:
        """Let what `make` gives be the content of this file, soon. Returns at once."""
        with self._lock:
            self._waiting[name] = make

    def write(self) -> None:
        """Write what waits. What the disk refuses is dropped: the next one is newer."""
        while self._waiting:
            with self._lock:
                name = next(iter(self._waiting))
                make = self._waiting[name]
            try:
                replace(self._folder / name, make())
            except OSError as error:
                self._tell(name, error)
            else:
                self._tell(name, None)
            with self._lock:
                if self._waiting.get(name) is make:
                    del self._waiting[name]

    def read(self, name: str, longest: int) -> bytes | None:
        """The content of this file, waiting or written; None where there is none.

        At most one byte more than `longest`. Raises OSError where it cannot be read.
        """
        with self._lock:
            make = self._waiting.get(name)
        if make is not None:
            return make()
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(longest + 1)
        except FileNotFoundError:
            return None

    def set_aside(self, name: str) -> str:
        """Take the file out of the way, and keep it for who wants to look; its new name.

        One generation is kept: a disk must not fill up.
        """
        aside = f"{name}{_ASIDE}"
        with contextlib.suppress(OSError):
            (self._folder / name).replace(self._folder / aside)
        return aside

    def keep_newest(self, pattern: str, most: int) -> None:
        """Remove all but the newest files of this pattern."""
        with contextlib.suppress(OSError):
            found = sorted(self._folder.glob(pattern), key=lambda file: file.stat().st_mtime)
            for file in found[:-most]:
                file.unlink()

    def _tell(self, name: str, error: OSError | None) -> None:
        """Log the first failure of a row, and its end."""
        file = self._folder / name
        if error is not None:
            self.failures += 1
            if not self.failing:
                log.error("%s: cannot be written: %s; going on in memory", file, error.strerror)
        elif self.failing:
            log.warning("%s: is written again", file)
        self.failing = error is not None


def replace(file: Path, data: bytes) -> None:
    """Write a file, for its owner only, so that a power cut leaves the old one or the new one.

    Raises OSError; then the old one is still there.
    """
    new = file.with_name(f"{file.name}{_NEW}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(new, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        new.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
