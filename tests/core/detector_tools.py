"""A detector whose incidents are numbered, ticked as in life."""

import itertools
from collections.abc import Iterable

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.events import SEES_ALL, Event
from mqtt_ids_model import Model


def detector(model: Model, *, facts: bool = True, max_clients: int = 5000) -> Detector:
    """A detector whose incidents are numbered."""
    numbers = itertools.count(1)
    return Detector(
        model,
        sees=SEES_ALL,
        facts=facts,
        max_clients=max_clients,
        new_id=lambda: f"id-{next(numbers)}",
    )


def watched(
    watcher: Detector, events: Iterable[Event], *, start: float = 0.0, until: float | None = None
) -> list[Alert]:
    """What `watcher` tells of events since `start`, ticked once a second until `until` or so."""
    told: list[Alert] = []
    due = start + 1.0
    for event in events:
        while event.time >= due:
            told += watcher.tick(due)
            due += 1.0
        watcher.feed(event)
    told += watcher.tick(due)
    while until is not None and due < until:
        due += 1.0
        told += watcher.tick(due)
    return told
