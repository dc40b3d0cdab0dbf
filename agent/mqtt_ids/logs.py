"""What goes to standard error: our own lines, and no more of the broker's than a disk can take."""

import logging
import sys

BROKER = "amqtt"
PER_MINUTE = 20  # lines of the broker's: it writes one for each bad packet


class Sparing(logging.Filter):
    """Lets our own records pass, and a few a minute of the broker's."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._passed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        if record.name.partition(".")[0] != BROKER:
            return True
        minute = int(record.created // 60)
        if minute != self._minute:
            self._minute, self._passed = minute, 0
        self._passed += 1
        return self._passed <= PER_MINUTE


def log_to_stderr(*, verbose: bool) -> None:
    """Show records on standard error; with `verbose` everything the broker says."""
    handler = logging.StreamHandler(sys.stderr)
    if not verbose:
        handler.addFilter(Sparing())
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        handlers=[handler],
    )
    logging.getLogger(BROKER).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("transitions").setLevel(logging.WARNING)
