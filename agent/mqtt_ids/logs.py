"""What goes to standard error: our own lines, and no more than a disk can take of all others.

Others are those that an attacker can bring about: of a broker of our own, which writes one for each
bad packet, and of the event loop, about connections that fail.
"""

import logging
import sys
from collections import Counter
from typing import Final

BROKER: Final = "amqtt"
LOOP: Final = "asyncio"
PER_MINUTE: Final = 20  # lines of each


class Sparing(logging.Filter):
    """Lets a few records a minute pass of each of these sources, and all of any other."""

    def __init__(self, *sources: str) -> None:
        super().__init__()
        self._sources = sources
        self._minute = 0
        self._passed: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        name = f"{record.name}."
        source = next((each for each in self._sources if name.startswith(f"{each}.")), None)
        if source is None:
            return True
        minute = int(record.created // 60)
        if minute != self._minute:
            self._minute = minute
            self._passed.clear()
        self._passed[source] += 1
        return self._passed[source] <= PER_MINUTE


def log_to_stderr(*, verbose: bool) -> None:
    """Show records on standard error; with `verbose` everything the broker says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing(LOOP) if verbose else Sparing(LOOP, BROKER))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        handlers=[handler],
    )
    logging.getLogger(BROKER).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("transitions").setLevel(logging.WARNING)
