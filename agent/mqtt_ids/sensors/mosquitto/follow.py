"""A growing log file, line by line, over rotation.

What is promised, as long as the writer appends and has at most one file open at a time:

- Rename and create: no line is lost and none comes twice, however late the writer reopens and
  however often the file was rotated between two calls, while the old ones are there unpacked.
- Copy and truncate: what the writer appends after the copy and before the cut is in neither file,
  for nobody to read. The rest is found, in the copies where they are there unpacked, unless the
  file was empty at one call and cut again before the next. Each cut that is seen counts in `cuts`.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mqtt_ids.sensors.mosquitto.logfile import LogFile, Moving, Unusable, close, generations, refuse

__all__ = ["Follower"]

MOST = 1 << 20  # bytes a call
LONGEST = 65_536  # bytes of a line; Mosquitto cuts its own at 999
HELD = 64  # generations that wait to be read
GRACE = 5.0  # seconds in which a path may be empty because somebody is rotating


class Follower:
    """Follows the file at `path` from its end at the time of making.

    A file that was not there then is read from its beginning. Nothing here waits: whoever wants
    lines calls `read`, from one thread, and at once again while `behind` says so.

    `state` is None, or one line for people about why nothing new can be read; then each call tries
    again. `too_long` counts lines that were skipped, `cuts` how often the file was emptied in
    place, `torn` how many lines lost their end to that.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path.absolute()  # the folder we run in may change
        self.state: str | None = None
        self.too_long = 0
        self.cuts = 0
        self.torn = 0
        self._clock = clock
        self._files: deque[LogFile] = deque()  # the first is read, the last is the newest
        self._read_before: set[tuple[int, int, int]] = set()  # device, inode, time of last change
        self._partial = b""
        self._skipping = False  # until the next end of a line
        self._gone_since: float | None = None
        self._start: tuple[int, int, int] | None = None  # device, inode, position
        self._unseen = False  # something is there of which we cannot know how long it is
        self._mark_end()
        with suppress(OSError):  # `read` tells
            self._look()

    def read(self) -> Iterator[bytes]:
        """The whole lines since the last call, without their ends, of at most 1 MiB.

        They are taken in before this returns: none is lost if the caller stops half-way.
        """
        try:
            self._look()
            return iter(self._read(MOST))
        except OSError as error:  # a disk or a network drive that fails
            self.state = f"{self.path} cannot be read: {error.strerror}"
            self._drop()
            return iter(())

    @property
    def behind(self) -> int:
        """How many bytes wait to be read in the files that are known of."""
        try:
            return sum(max(file.size - file.position, 0) for file in self._files)
        except OSError:
            return 0

    def close(self) -> None:
        """Let go of every file. Nothing can be read afterwards."""
        while self._files:
            self._files.popleft().close()

    # Which files there are.

    def _mark_end(self) -> None:
        """Remember how long the file is now, which may become readable only later."""
        try:
            status = refuse(self.path)
        except FileNotFoundError:
            return
        except Unusable:
            self._unseen = True
        else:
            self._start = (status.st_dev, status.st_ino, status.st_size)

    def _look(self) -> None:
        """Find out what lies at the path, and open it if it is new."""
        try:
            status = refuse(self.path)
            if not self._files or self._files[-1].identity != (status.st_dev, status.st_ino):
                self._open()
        except FileNotFoundError:
            now = self._clock()
            self._gone_since = self._gone_since if self._gone_since is not None else now
            if not self._files or now - self._gone_since >= GRACE:
                self.state = f"{self.path} is not there; waiting for it"
        except Moving:
            pass  # the next call will find out
        except Unusable as why:
            self.state = f"{self.path} {why}"
        else:
            self._gone_since = None
            self.state = None
        if self._files:
            self._check_for_cut(self._files[0])

    def _open(self) -> None:
        """Take the file at the path, after those that came and went since the last one."""
        newest = LogFile.open(self.path)
        if not self._files:
            self._begin(newest)
            self._files.append(newest)
            return
        held = {file.identity for file in self._files}
        if newest.identity in held:
            newest.close()  # an older generation was put back
            return
        try:
            between = generations(self.path, self._files[-1].modified, held | {newest.identity})
        except (Moving, OSError):
            newest.close()
            raise
        if not newest.is_at(self.path):
            close([*between, newest])
            raise Moving
        for file in between:
            if (*file.identity, file.modified) in self._read_before:
                file.close()
            else:
                self._take(file)
        self._take(newest)

    def _begin(self, first: LogFile) -> None:
        """Where to begin: at its end as it was at the start, or where we were; else at 0."""
        if self._start is not None and first.identity == self._start[:2]:
            self._skipping = not first.skip_to(self._start[2])
        elif self._unseen:
            self._skipping = not first.skip_to(first.size)
        self._start, self._unseen = None, False

    def _drop(self) -> None:
        """Let go of a file that fails, to open it again where its last whole line ended."""
        if not self._files:
            return
        file = self._files.popleft()
        if not self._files:
            self._start = (*file.identity, file.position - len(self._partial))
        self._partial, self._skipping = b"", False
        file.close()

    def _take(self, file: LogFile) -> None:
        if len(self._files) >= HELD:  # then most are empty: the writer was never told to reopen
            spare = next((each for each in list(self._files)[1:] if not each.size), None)
            if spare is None:
                file.close()
                return
            self._files.remove(spare)
            spare.close()
        self._files.append(file)

    def _check_for_cut(self, file: LogFile) -> None:
        """If the file was emptied in place, go on in the copies that were made, then at 0."""
        if not file.is_cut():
            return
        try:
            others = generations(self.path, 0, {each.identity for each in self._files})
        except Moving:
            others = []
        # The last that begins as far as we read, and each made after it by a further cut.
        first = next((n for n in reversed(range(len(others))) if file.is_copy(others[n])), None)
        copies = [] if first is None else others[first:]
        close(others[:first])
        self.cuts += max(len(copies), 1)
        if copies:
            copies[0].skip_to(file.position)
        else:
            self.torn += bool(self._partial)
            self._partial, self._skipping = b"", False
        for copy in reversed(copies):
            copy.complete = copy.torn = True
            self._files.appendleft(copy)
        file.skip_to(0)

    # What is in them.

    def _read(self, most: int) -> list[bytes]:
        lines: list[bytes] = []
        while most > 0 and self._files:
            data = self._files[0].read(most)
            most -= len(data)
            if data:
                self._split(data, lines)
            elif self._files[0].complete:
                self._finish(lines)
            elif any(file.size for file in list(self._files)[1:]):
                # The writer has gone on, so this one grows no more; but it may have since the read.
                self._files[0].complete = True
            else:
                break
        return lines

    def _split(self, data: bytes, lines: list[bytes]) -> None:
        """Add the whole lines in `data`, and keep what follows the last of them."""
        found = (self._partial + data).split(b"\n")
        self._partial = found.pop()
        if self._skipping and found:
            del found[0]
            self._skipping = False
        if found and max(map(len, found)) > LONGEST:
            fitting = [line for line in found if len(line) <= LONGEST]
            self.too_long += len(found) - len(fitting)
            found = fitting
        lines += found
        if self._skipping:
            self._partial = b""
        elif len(self._partial) > LONGEST:
            self.too_long += 1
            self._partial, self._skipping = b"", True

    def _finish(self, lines: list[bytes]) -> None:
        """Close the first file. A last line without its end will never get one."""
        file = self._files.popleft()
        if self._partial and file.torn:
            self.torn += 1
        elif self._partial:
            lines.append(self._partial)
        self._partial, self._skipping = b"", False
        if len(self._read_before) >= HELD:
            self._read_before.clear()
        self._read_before.add((*file.identity, file.modified))
        file.close()
