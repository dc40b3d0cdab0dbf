"""The time before each log line: whatever form it has, it is told from the lines, and taken off.

    1795466419: New connection from ...
    2026-11-23T20:42:02: New connection from ...

A stamp is taken off only where each line has one: else a client whose id reads like a stamp and a
line would write lines of its own, through `M` lines (`ID QOS FILTER`), which begin with an id.
"""

import re
from typing import Final

from mqtt_ids.sensors.mosquitto.lines import parse
from mqtt_ids.sensors.mosquitto.records import SUBSCRIBED

LONGEST: Final = 64  # bytes of a stamp
PATIENCE: Final = 100  # unknown lines in a row
_END: Final = b": "
_EPOCH: Final = re.compile(rb"\d{9,11}: ")
_WORDS: Final = re.compile(rb"[0-9A-Za-z\x80-\xff]+|[ ]+|.", re.DOTALL)


class Stamps:
    """Takes the stamps off the lines of one log, once it is known which form they have.

    The form is proved by a line that no client can have begun: one the broker writes, and without
    ` 0 `, ` 1 ` or ` 2 ` in it. Until then each line is taken for what it looks like.
    """

    def __init__(self) -> None:
        self._last = b""  # the stamp of the line before: most come again
        self._shape: re.Pattern[bytes] | None = None
        self._proved = False
        self._unknown = 0

    def strip(self, line: bytes) -> bytes:
        """The line without its stamp."""
        last = self._last
        if last and line.startswith(last):
            return line[len(last) :]
        return self._strip(line)

    def recognised(self, *, known: bool) -> None:
        """Whether anything could be made of the last line.

        After many of which nothing could, the form is learned again: someone has changed it.
        """
        self._unknown = 0 if known else self._unknown + 1
        if self._unknown >= PATIENCE:
            self.forget()

    def forget(self) -> None:
        """Learn the form anew."""
        self._last, self._shape, self._proved, self._unknown = b"", None, False, 0

    def _strip(self, line: bytes) -> bytes:
        if self._proved:
            found = None if self._shape is None else self._shape.match(line)
            if found is not None:
                self._last = found[0]
                return line[len(self._last) :]
            if self._shape is None or not _is_sure(line):
                return line
            self.forget()  # no line of a log with stamps looks like one without
        size = _stamp(line)
        if not SUBSCRIBED.search(line, size) and (size or _is_sure(line)):
            self._proved = True
            if size:
                self._last = line[:size]
                self._shape = re.compile(_shape(self._last))
        return line[size:]


def _is_sure(text: bytes) -> bool:
    return parse(text) is not None


def _stamp(line: bytes) -> int:
    """How long the stamp of `line` seems to be; 0 where it seems to have none."""
    if _is_sure(line):
        return 0
    at = line.find(_END, 0, LONGEST)
    while at >= 0:
        if _is_sure(line[at + len(_END) :]):
            return at + len(_END)
        at = line.find(_END, at + 1, LONGEST)
    found = _EPOCH.match(line)
    return 0 if found is None else found.end()


def _shape(stamp: bytes) -> bytes:
    """A pattern for stamps like this one: words and gaps may vary, what is between may not."""
    parts = []
    for found in _WORDS.finditer(stamp):
        part = found[0]
        if part[:1] == b" ":
            parts.append(b"[ ]+")
        elif part.isdigit():
            parts.append(b"[0-9]+")
        elif part[:1].isalnum() or part[:1] >= b"\x80":
            parts.append(rb"[0-9A-Za-z\x80-\xff]+")
        else:
            parts.append(b"[+-]" if part in b"+-" else re.escape(part))
    return b"".join(parts)
