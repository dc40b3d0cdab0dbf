"""What the policy would have done about alerts that should not have been."""

from typing import Final

from mqtt_ids.alerts import Alert
from mqtt_ids.bans import Bans, HandleKind
from mqtt_ids.detector import Detector
from mqtt_ids.policy import decide, is_grave
from mqtt_ids.settings import Settings

_EVERY_HANDLE: Final[frozenset[HandleKind]] = frozenset(
    {"connection", "client_id", "username", "address"}
)
_PROTECT: Final = Settings(mode="protect")


class Guard:
    """Asks the policy about each alert as in mode protect, with every handle there is.

    No client counts as established, so that none is spared for the share that may be cut off.
    """

    def __init__(self) -> None:
        self.acted: set[str] = set()  # the incidents that something would have been done about

    def heed(self, alert: Alert, detector: Detector) -> None:
        """Take in an alert."""
        if alert.state != "closed" and is_grave(alert.severity):
            near = detector.neighbours(alert.id)
            if decide(alert, near, _EVERY_HANDLE, _PROTECT, Bans(), alert.time).handles:
                self.acted.add(alert.id)
