"""A file to which whole lines are appended: rotated by size, and opened anew when it was moved.

The handlers of `logging` rotate as well, but when the disk is full they keep half a line in a
buffer, and write it in front of a later one.
"""

import errno
import os
import stat
from pathlib import Path

MODE = 0o640  # whoever forwards lines reads them by group
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class LinesFile:
    """Appends to the file at `path`, which is ours alone to write to.

    `max_size` is in bytes. Old files end in .1 (the newest) to .`keep`. A pipe, such as
    /dev/stdout in a container, is never rotated, and never waited for.
    """

    def __init__(self, path: Path, *, max_size: int, keep: int) -> None:
        self._path = path
        self._max_size = max_size
        self._keep = keep
        self._descriptor: int | None = None
        self._torn = False  # the last line there has no end

    def append(self, data: bytes) -> None:
        """Add `data`, whole lines. Raises OSError; then no line of it is there."""
        descriptor, status = self._current()
        regular = stat.S_ISREG(status.st_mode)
        if regular and status.st_size and status.st_size + len(data) > self._max_size:
            self._rotate()
            descriptor, status = self._current()
        data = b"\n" + data if self._torn else data
        written = os.write(descriptor, data)
        if written == len(data):
            self._torn = False
        elif regular:
            os.ftruncate(descriptor, status.st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        else:
            self._torn = True
            raise OSError(errno.EAGAIN, "nobody reads it fast enough")

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _current(self) -> tuple[int, os.stat_result]:
        """The file that bears our name now, and what is known of it."""
        if self._descriptor is not None:
            status = os.fstat(self._descriptor)
            if _same(status, self._path):
                return self._descriptor, status
            self.close()
        self._descriptor = descriptor = os.open(self._path, _FLAGS, MODE)
        self._torn = _is_torn(self._path)
        return descriptor, os.fstat(descriptor)

    def _rotate(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{number}")
                 for number in range(1, self._keep + 1))]  # fmt: skip
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        if not self._keep:
            self._path.unlink()
        self.close()


def _same(status: os.stat_result, path: Path) -> bool:
    """Whether this is the file at `path`."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) == (there.st_dev, there.st_ino)


def _is_torn(path: Path) -> bool:
    """Whether a file ends in the middle of a line: the power went while one was written."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
