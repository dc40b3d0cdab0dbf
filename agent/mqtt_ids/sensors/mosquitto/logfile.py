"""One generation of a log file: opened only if it is a plain file, read by position.

A pipe is never opened: a reader that comes and goes could hang or kill the broker that writes.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["Identity", "LogFile", "Moving", "Unusable", "close", "generations", "refuse"]

Identity = tuple[int, int]  # device and inode: unique as long as somebody holds the file open

_TAIL = 256  # bytes; longer than one line with its stamp, so no two places look alike
# What logrotate appends: .1, -20261123, -20261123-1795430400, -2026-11-23.
_ROTATED = re.compile(r"[.-][0-9][0-9.-]*")
_NUMBERED = re.compile(r"\.[0-9]{1,6}")
_KINDS = (
    (stat.S_ISLNK, "is a symbolic link; name the file that it points to"),
    (stat.S_ISDIR, "is a folder; name the file in it"),
    (stat.S_ISFIFO, "is a pipe, which would hang the broker; let it log to a file"),
)


class Unusable(Exception):  # noqa: N818 - it carries a state, and never leaves this package
    """The path cannot be read now; the message says why, in one line without the path."""


class Moving(Exception):  # noqa: N818 - a state as well
    """Files are being renamed just now: look again."""


class LogFile:
    """An open file and how far it has been read.

    Every method may raise OSError, except `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity: Identity = (status.st_dev, status.st_ino)
        self.position = 0
        self.complete = False  # the writer has gone on to another file
        self.torn = False  # a copy: its last line may lack what was written meanwhile
        self._tail = b""

    @classmethod
    def open(cls, path: Path) -> "LogFile":
        """The file at `path`, at its beginning. Raises Unusable, and FileNotFoundError."""
        refuse(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError:
            raise Unusable("may not be read: no permission for this user") from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unusable(f"cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # changed since we looked
            os.close(descriptor)
            raise Unusable("is no plain file")
        return cls(descriptor)

    @property
    def size(self) -> int:
        """How many bytes it holds now."""
        return os.fstat(self.descriptor).st_size

    @property
    def modified(self) -> int:
        """When it was last written to, in nanoseconds since the epoch."""
        return os.fstat(self.descriptor).st_mtime_ns

    def read(self, most: int) -> bytes:
        """The next bytes, none at the end."""
        data = os.pread(self.descriptor, most, self.position)
        self.position += len(data)
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        return data

    def skip_to(self, position: int) -> bool:
        """Go on from there; whether that is the beginning of a line."""
        self.position = min(position, self.size)
        start = max(self.position - _TAIL, 0)
        self._tail = os.pread(self.descriptor, self.position - start, start)
        return not self._tail or self._tail.endswith(b"\n")

    def is_at(self, path: Path) -> bool:
        """Whether it is what lies at `path` now."""
        try:
            status = path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def is_cut(self) -> bool:
        """Whether it was emptied since the last read, even if it has grown again since."""
        return self.size < self.position or not self._holds_tail(self.descriptor)

    def is_copy(self, other: "LogFile") -> bool:
        """Whether `other` holds, up to here, what has been read of this one."""
        return bool(self._tail) and self._holds_tail(other.descriptor)

    def _holds_tail(self, descriptor: int) -> bool:
        start = self.position - len(self._tail)
        return os.pread(descriptor, len(self._tail), start) == self._tail

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def refuse(path: Path) -> os.stat_result:
    """What lies at `path`, which is a plain file. Raises Unusable, and FileNotFoundError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise
    except PermissionError:
        raise Unusable("may not be read: no permission for the folder that it is in") from None
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None
    for is_kind, what in _KINDS:
        if is_kind(status.st_mode):
            raise Unusable(what)
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("is a device or a socket; let the broker log to a file")
    return status


def generations(path: Path, since: int, held: Collection[Identity]) -> list[LogFile]:
    """What rotation has made of `path` since a time, oldest first, without what is held already.

    `since` is in nanoseconds since the epoch. Each is open, and the caller's to close. One that
    is packed or may not be read is left out. Raises Moving if somebody is rotating right now: a
    folder that is listed while files in it are renamed may show one twice or not at all.
    """
    names = _listing(path, since)
    files: list[LogFile] = []
    for name, identity in names:
        if identity in held:
            continue
        with suppress(OSError, Unusable):
            files.append(LogFile.open(name))
    wanted = {identity for _, identity in names}
    if _listing(path, since) != names or not {file.identity for file in files} <= wanted:
        close(files)
        raise Moving
    return files


def close(files: Iterable[LogFile]) -> None:
    """Let go of several."""
    for file in files:
        file.close()


def _listing(path: Path, since: int) -> list[tuple[Path, Identity]]:
    """Rotated files that were last changed at that time or later, oldest first."""
    found: list[tuple[int, int, Path, Identity]] = []
    # A folder that may be searched but not listed shows none, nor does one that is gone.
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            ending = entry.name.removeprefix(path.name)
            if ending == entry.name or not _ROTATED.fullmatch(ending):
                continue
            status = entry.stat(follow_symlinks=False)
            if status.st_mtime_ns >= since:
                # Files are stamped with a clock that ticks every few ms: of equals, .2 is before .1
                number = int(ending[1:]) if _NUMBERED.fullmatch(ending) else 0
                identity = (status.st_dev, status.st_ino)
                found.append((status.st_mtime_ns, -number, Path(entry.path), identity))
    return [(name, identity) for _, _, name, identity in sorted(found)]
