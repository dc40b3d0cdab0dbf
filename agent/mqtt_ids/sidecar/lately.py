"""The last lines that one source has told, each waiting for its like from the other."""

import re
from collections import Counter
from typing import Final

MOST: Final = 10_000  # lines
KEPT: Final = 10.0  # seconds, and at most twice as long
HEAD: Final = 48  # bytes within which a line says what it is: after a long stamp
PUBLISH: Final = b" PUBLISH "  # most lines of a debug log
# What the topics never have; the shortest stamp is the true one.
_DEBUG: Final = re.compile(
    rb"(?:.{0,62}?: )??(?:Received |Sending |Denied |Dropped |Will message |No will |\t)"
)


class Lately:
    """Counts lines: the file and the topics hold the same bytes, and often the same line twice."""

    def __init__(self) -> None:
        self._new: Counter[bytes] = Counter()
        self._old: Counter[bytes] = Counter()
        self._turned = 0.0

    def add(self, line: bytes) -> None:
        """It was told just now."""
        if len(self._new) < MOST:
            self._new[line] += 1

    def take(self, line: bytes) -> bool:
        """Whether it was told; if so, its like has come."""
        for lines in (self._old, self._new):
            if lines.get(line):
                lines[line] -= 1
                return True
        return False

    def pass_time(self, now: float) -> None:
        """Forget what was long ago."""
        if now - self._turned >= KEPT:
            self._old, self._new, self._turned = self._new, Counter(), now


def is_for_topics(line: bytes) -> bool:
    """Whether the log's topics have this line too."""
    return PUBLISH not in line[:HEAD] and _DEBUG.match(line) is None
