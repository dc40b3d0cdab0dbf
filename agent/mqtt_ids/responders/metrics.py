"""How we are, in numbers, as Prometheus reads them.

The engine hands over its numbers once a second; whoever scrapes gets the last ones, as text that
is made once for all of them. No name of a client, a user, a topic or an address is in it: there
are as many time series on the first day as in the thousandth attack.
"""

import math
import threading
from collections.abc import Iterator
from itertools import product, starmap
from typing import Final, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mqtt_ids.alerts import Attack, Severity, State
from mqtt_ids.feature_table import Role
from mqtt_ids.release import release
from mqtt_ids.responders.publish import Summary
from mqtt_ids.views import Judged

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
RATIOS: Final = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 2.0, 4.0, 8.0, 16.0, 100.0, 1000.0)
MOST: Final = 1e6  # thresholds; a ratio beyond counts as this in the sum


_KINDS: Final = (Attack, Severity, State)  # as the fields of Kind


class Kind(msgspec.Struct, frozen=True):
    """By what alerts are counted; an alert of schema 1 holds it."""

    attack: Attack
    severity: Severity
    state: State


class Snapshot(msgspec.Struct, frozen=True):
    """The numbers of one moment. `ratios` counts by role and place in `RATIOS`, and one more."""

    summary: Summary
    alerts: dict[Kind, int]
    ratios: dict[Role, NDArray[np.int64]]
    sums: dict[Role, float]


class Metrics(Collector):
    """Counts, keeps the numbers of the last second, and tells them.

    `text` is for another thread; all else is the engine's.
    """

    def __init__(self) -> None:
        # All of them from the start: what begins at 1 has not increased, to Prometheus.
        self._alerts = dict.fromkeys(starmap(Kind, product(*map(get_args, _KINDS))), 0)
        self._ratios = {role: np.zeros(len(RATIOS) + 1, np.int64) for role in Role}
        self._sums = dict.fromkeys(Role, 0.0)
        self._snapshot: Snapshot | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._making = threading.Lock()
        self._made: tuple[Snapshot | None, bytes] = (None, b"")

    def alert(self, alert: bytes) -> None:
        """Count an alert (JSON of schema 1)."""
        self._alerts[msgspec.json.decode(alert, type=Kind)] += 1

    def judged(self, judged: Judged) -> None:
        """Count how far from its threshold each score is, of who has done something."""
        ratios = np.minimum(judged.scores / judged.thresholds, MOST)[judged.fresh]
        role = judged.batch.role
        places = np.searchsorted(RATIOS, ratios)
        self._ratios[role] += np.bincount(places, minlength=len(RATIOS) + 1)
        self._sums[role] += float(ratios.sum())

    def look(self, summary: Summary) -> None:
        """Take these and our own numbers as those of now."""
        self._snapshot = Snapshot(
            summary=summary,
            alerts=self._alerts.copy(),
            ratios={role: counts.copy() for role, counts in self._ratios.items()},
            sums=dict(self._sums),
        )

    def text(self) -> bytes:
        """The numbers of the last second in Prometheus's text format."""
        with self._making:
            snapshot, made = self._made
            if snapshot is not self._snapshot or not made:
                snapshot = self._snapshot
                made = generate_latest(self._registry)
                self._made = (snapshot, made)
            return made

    def collect(self) -> Iterator[Metric]:
        """What there is to tell, for the registry."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        yield from _of_the_summary(snapshot.summary)
        alerts = CounterMetricFamily(
            "mqtt_ids_alerts",
            "Alerts: each change of an incident.",
            labels=("attack", "severity", "state"),
        )
        for kind, count in snapshot.alerts.items():
            alerts.add_metric((kind.attack, kind.severity, kind.state), count)
        yield alerts
        yield _of_the_ratios(snapshot)


def _of_the_summary(summary: Summary) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "mqtt_ids",
        "What runs here.",
        {"version": release(), "sensor": summary.sensor, "mode": summary.mode},
    )
    for name, help_text, value in (
        ("clients", "Clients that are connected.", summary.clients),
        ("clients_learned", "Of these, with a normal of their own.", summary.learning.learned),
        ("open_incidents", "Incidents that are open, notes (info) too.", summary.open_incidents),
        ("active_incidents", "Incidents above info that are open.", summary.active),
        ("bans", "Bans in force.", summary.bans),
        ("lag_seconds", "By how much judgements came late in the last minute.", summary.lag),
        ("unwritten", "Changes and alerts that the disk refuses.", summary.unwritten),
    ):
        yield GaugeMetricFamily(f"mqtt_ids_{name}", help_text, value)
    for name, help_text, value in (
        ("events", "Events that the sensor saw.", summary.events),
        ("skipped", "Events that were not judged.", summary.skipped),
        ("errors", "Faults of our own.", summary.errors),
    ):
        yield CounterMetricFamily(f"mqtt_ids_{name}", help_text, value)


def _of_the_ratios(snapshot: Snapshot) -> Metric:
    family = HistogramMetricFamily(
        "mqtt_ids_score_ratio",
        "Scores as multiples of their threshold, each second, of who has done something.",
        labels=("role",),
    )
    edges = [*map(floatToGoString, RATIOS), "+Inf"]
    for role, counts in snapshot.ratios.items():
        buckets = list(zip(edges, map(float, np.cumsum(counts)), strict=True))
        total = snapshot.sums[role]
        family.add_metric((role.value,), buckets, total if math.isfinite(total) else None)
    return family
