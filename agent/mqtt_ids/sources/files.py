"""The files and pipes that captures and event logs are read from."""

import io
import os
import stat
from pathlib import Path
from typing import Any, Final, Literal

from mqtt_ids.errors import CaptureError

STDIN: Final = "-"
BUFFER: Final = 1 << 18  # bytes asked for at once; a pipe gives what it has

Kind = Literal["capture", "lines", "table"]


class Meter:
    """How far the reading has come, in bytes; `size` is None where no one can know.

    `is_live` says that it comes as it is made, through a pipe. `waiting` is true while a read may
    block: nothing is half done then, and it may be broken off. Once `enough` is set the next read
    is refused with KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.bytes_read = 0
        self.size: int | None = 0
        self.is_live = False
        self.waiting = False
        self.enough = False


class SourceFile:
    """One file or pipe, and what it is by its content.

    Raises CaptureError where it cannot be opened, and for standard input that is a terminal.
    """

    def __init__(self, path: str, meter: Meter) -> None:
        self.name = "standard input" if path == STDIN else path
        self.path = Path(path)
        self._descriptor: str | int = 0 if path == STDIN else path
        self.meter = meter
        self._stream: io.BufferedReader | None = None
        found = self._look()
        self.size = found.st_size
        self.is_regular = stat.S_ISREG(found.st_mode) and path != STDIN
        if not self.is_regular:
            meter.size = None
            meter.is_live = not stat.S_ISREG(found.st_mode)  # `< night.pcap` is there already
            self._stream = self._opened()
            self.kind = _kind(self._stream)
            return
        with self._opened() as stream:
            self.kind = _kind(stream)
        meter.bytes_read = 0
        if self.kind == "table":  # is not read by us, and so not metered
            meter.size = None
        elif meter.size is not None:
            meter.size += found.st_size

    def _look(self) -> os.stat_result:
        try:
            found = os.stat(self._descriptor)  # noqa: PTH116 - it may be a number
        except OSError as error:
            raise CaptureError(f"{self.name}: cannot be read ({error.strerror})") from None
        if stat.S_ISDIR(found.st_mode):
            raise CaptureError(f"{self.name}: is a folder; name the captures in it")
        if self._descriptor == 0 and os.isatty(0):
            raise CaptureError(
                "standard input is a terminal; pipe a capture: tcpdump -U -w - | mqtt-ids scan -"
            )
        return found

    def open(self) -> io.BufferedReader:
        """The bytes from the start; of a pipe, once. The caller closes it."""
        stream, self._stream = self._stream, None
        return self._opened() if stream is None else stream

    def _opened(self) -> io.BufferedReader:
        try:
            file = io.FileIO(self._descriptor, closefd=self._descriptor != 0)
        except OSError as error:
            raise CaptureError(f"{self.name}: cannot be read ({error.strerror})") from None
        return io.BufferedReader(_Metered(file, self.meter), BUFFER)


class _Metered(io.RawIOBase):
    """Bytes of a file, counted."""

    def __init__(self, file: io.FileIO, meter: Meter) -> None:
        self._file = file
        self._meter = meter

    def readable(self) -> bool:
        """True, as io.BufferedReader asks."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer has no type before 3.12
        """What a read gives, which for a pipe is what it has."""
        meter = self._meter
        if meter.enough:
            raise KeyboardInterrupt
        meter.waiting = True
        try:
            count = self._file.readinto(buffer) or 0
        finally:
            meter.waiting = False
        meter.bytes_read += count
        return count

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()
        super().close()


def _kind(stream: io.BufferedReader) -> Kind:
    """What begins here. What is nothing that we know is left to the reader of captures."""
    start = stream.peek(4)[:4]
    if start[:1] == b"{":
        return "lines"
    return "table" if start == b"PAR1" else "capture"
