"""The detector behind a sidecar: for what the sources show now."""

from collections.abc import Callable

from mqtt_ids.detecting import Detecting
from mqtt_ids.detector import Detector
from mqtt_ids.events import SENSORS, Sees
from mqtt_ids.models import open_model
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar.crowd import WithCrowd
from mqtt_ids.views import Judged

STEADY = 60.0  # seconds for which less is seen before everybody is judged by less
FIRST_GUESS = SENSORS["log"]
CROWD_SEES = SENSORS["debug-log"]  # one client that is always connected
CROWD_CLIENTS = 8  # there is one


def open_eyes(
    settings: Settings, sees: Sees, judged: Callable[[Judged], None] | None = None
) -> Detecting:
    """A detector of clients, and one of the crowd. Raises ModelError, in one line.

    Who sees refusals has a credential for each: see `guesses`.
    """
    model = open_model(settings.model)
    if Sees.REFUSALS in sees:
        sees |= Sees.CREDENTIALS

    def one(seen: Sees, most: int) -> Detector:
        return Detector(
            model, sees=seen, threshold=settings.threshold, max_clients=most, judged=judged
        )

    clients, crowd = one(sees, settings.limits.max_clients), one(CROWD_SEES, CROWD_CLIENTS)
    return WithCrowd(clients, crowd, hears=Sees.PINGS in sees)


class View:
    """What is seen, taken calmly: more at once, less only when it stays so.

    To look with other eyes is to forget what was learned.
    """

    def __init__(self) -> None:
        self.sees = FIRST_GUESS
        self._less_since: float | None = None

    def look(self, sees: Sees, now: float) -> bool:
        """Whether from `now` on (seconds) something else is seen than before."""
        if sees == self.sees:
            self._less_since = None
            return False
        if not sees & ~self.sees:
            self._less_since = now if self._less_since is None else self._less_since
            if now - self._less_since < STEADY:
                return False
        self.sees, self._less_since = sees, None
        return True
