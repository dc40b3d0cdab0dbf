"""What is left out when the log grows faster than it can be read: most of what the loudest say.

Who is that loud was noticed long before. Whatever the others do is read in full, and what was left
out is counted.
"""

import re
from collections import Counter
from typing import Final

KEPT: Final = 8  # of so many PUBLISH lines of somebody loud one is read
LOUD: Final = 16  # PUBLISH lines in one share, which holds a few milliseconds of such a log
# What the broker passes on tells nothing of anybody. The shortest stamp is the true one: what
# follows the words was chosen by a client.
_PUBLISH: Final = re.compile(
    rb"(?:.{0,62}?: )??(?:(Sending PUBLISH to )|Received PUBLISH from (.*?) \(d)", re.DOTALL
)


class Thinning:
    """`active` while there is too much. `skipped` counts lines that told of somebody."""

    def __init__(self) -> None:
        self.active = False
        self.skipped = 0
        self._turn = 0

    def thin(self, lines: list[bytes]) -> list[bytes]:
        """What is to be read of a share of the log."""
        if not self.active:
            return lines
        told = [(line, _PUBLISH.match(line)) for line in lines]
        told = [(line, found) for line, found in told if found is None or found[1] is None]
        counts = Counter(found[2] for _, found in told if found is not None)
        loud = {name for name, count in counts.items() if count > LOUD}
        kept = [
            line for line, found in told if found is None or found[2] not in loud or self._is_kept()
        ]
        self.skipped += len(told) - len(kept)
        return kept

    def _is_kept(self) -> bool:
        self._turn = (self._turn + 1) % KEPT
        return not self._turn
