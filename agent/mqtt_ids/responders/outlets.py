"""Where alerts and numbers go beside MQTT: a file of lines, and Prometheus. Both only if asked.

Each outlet has a thread of its own. None can hold up detection, and none that fails stops another.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mqtt_ids.responders.export import Export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mqtt_ids.responders.metrics import Metrics
    from mqtt_ids.responders.publish import Summary
    from mqtt_ids.responders.scrapes import Scrapes
    from mqtt_ids.settings import Settings
    from mqtt_ids.views import Judged

WHERE = "an outlet"


class Outlets:
    """The outlets that the settings ask for. Nothing here raises: `failed` is told instead."""

    def __init__(self, settings: Settings, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        file = settings.export.file
        self._export = None if file is None else Export(file, settings.export)
        self._metrics: Metrics | None = None
        self._scrapes: Scrapes | None = None
        if settings.metrics is not None:
            # Only where it is asked for: the client library is not small.
            from mqtt_ids.responders.metrics import CONTENT_TYPE, Metrics  # noqa: PLC0415
            from mqtt_ids.responders.scrapes import Scrapes  # noqa: PLC0415

            self._metrics = Metrics()
            self._scrapes = Scrapes(settings.metrics, self._metrics.text, CONTENT_TYPE)

    @property
    def judged(self) -> Callable[[Judged], None] | None:
        """What a detector tells its scores; None where nobody asks for them."""
        return None if self._metrics is None else self._metrics.judged

    @property
    def unwritten(self) -> int:
        """Alerts that are lost, or wait because the disk refuses them."""
        return 0 if self._export is None else self._export.unwritten

    def start(self) -> None:
        """Open them. One that cannot be opened yet is tried again."""
        with self._safely():
            if self._export is not None:
                self._export.start()
        with self._safely():
            if self._scrapes is not None:
                self._scrapes.start()

    def stop(self) -> None:
        """Close them, after a few seconds at most. Twice does no harm."""
        for outlet in (self._scrapes, self._export):
            with self._safely():
                if outlet is not None:
                    outlet.stop()

    def alert(self, alert: bytes) -> None:
        """One change of one incident, as JSON of schema 1."""
        for outlet in (self._export, self._metrics):
            with self._safely():
                if outlet is not None:
                    outlet.alert(alert)

    def look(self, summary: Callable[[], Summary]) -> None:
        """Once a second: take the numbers of now, if somebody may ask for them."""
        with self._safely():
            if self._metrics is not None:
                self._metrics.look(summary())

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the broker goes on, whatever is wrong with us
            self._failed(WHERE, error)
