"""Calm vectors from simulated homes: what the network learns from and is calibrated on."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.events import SEES_ALL, Event
from mqtt_ids.feature_table import FEATURES, Shape
from mqtt_ids.lab.homes import Family, make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.subjects import ClientSubject, HostSubject
from mqtt_ids.watch import AnyBatch, Batch, Watch
from mqtt_ids.windows import Floats

Due = tuple[Batch[ClientSubject] | None, Batch[HostSubject] | None]

_LINEAR = np.array([feature.shape is Shape.LINEAR for feature in FEATURES])
SUBJECTS_PER_HOME: Final = 100_000
FIGHTERS: Final = "doubled-id/"  # how the names of such actors begin
_HOSTS_FROM: Final = 50_000
_YOUNG = 0.13  # of the context's age: under two minutes
_NOTABLE = 0.05  # of the cap: something rare is going on
_LOUD = 0.85  # of the cap: something common is at its busiest
_COMES_BACK = 0.1  # of the cap: a connection in the last half a minute
_CONNECTS = np.array([feature.name in {"connects_10s", "host_opens_10s"} for feature in FEATURES])


class Samples(msgspec.Struct, kw_only=True):
    """Vectors of many subjects over time, row by row.

    `x`, `seen` and `context` as in `features.Vectors`; `time` in s; `subject` a number that no
    two subjects of the same collection share.
    """

    x: Floats
    seen: NDArray[np.bool_]
    context: Floats
    time: NDArray[np.float64]
    subject: NDArray[np.int64]


def ticks(watch: Watch, events: Iterable[Event], start: float) -> Iterator[tuple[float, Due]]:
    """Feed `events` to `watch`; what is due, once a second of their time."""
    due = start + 1.0
    for event in events:
        while event.time >= due:
            yield due, watch.due(due)
            due += 1.0
        watch.feed(event)


def sample(
    seed: int,
    *,
    family: Family,
    duration: float,
    eventful: float,
    keep: float,
    rare: float = 1.0,
) -> Samples:
    """Vectors of a home over `duration` s: a share `keep` of all, `rare` of the notable."""
    rng = np.random.default_rng(seed)
    home = _at_peace(make_home(seed, family=family, eventful=eventful))
    start = float(rng.uniform(0, 7 * 86_400))
    watch = Watch(sees=SEES_ALL, max_clients=5000)
    parts: list[Samples] = []
    for now, batches in ticks(watch, record(home, start=start, duration=duration), start):
        parts += [_kept(batch, now, rng, keep, rare) for batch in batches if batch is not None]
    kept = joined(parts)
    kept.subject += SUBJECTS_PER_HOME * seed
    return kept


def _at_peace(home: Home) -> Home:
    """The home without what is to be told: two devices that fight over one id are no calm."""
    actors = tuple(one for one in home.actors if not one.name.startswith(FIGHTERS))
    return msgspec.structs.replace(home, actors=actors)


def _kept(
    batch: AnyBatch, now: float, rng: np.random.Generator, keep: float, rare: float
) -> Samples:
    vectors = batch.vectors
    rare_things = np.any(vectors.x[:, _LINEAR] > _NOTABLE, axis=1)
    notable = np.logical_or(rare_things, np.any(vectors.x > _LOUD, axis=1))
    notable = np.logical_or(notable, vectors.context[:, 1] < _YOUNG)
    notable = np.logical_or(notable, came_back(vectors.x))
    draw = rng.random(len(notable))
    kept = np.flatnonzero(draw < np.where(notable, max(keep, rare), keep))
    side = _HOSTS_FROM if batch.role.value == "host" else 0
    rows = np.array([batch.subjects[i].row + side for i in kept], np.int64)
    return Samples(
        x=vectors.x[kept],
        seen=vectors.seen[kept],
        context=vectors.context[kept],
        time=np.full(len(kept), now),
        subject=rows,
    )


def came_back(x: Floats) -> NDArray[np.bool_]:
    """Which rows of `x` are of a subject that connected in the last half a minute or so."""
    connected: NDArray[np.bool_] = np.logical_or.reduce(x[:, _CONNECTS] > _COMES_BACK, axis=1)
    return connected


def joined(parts: Iterable[Samples]) -> Samples:
    """Several collections as one."""
    columns = zip(*(msgspec.structs.astuple(part) for part in parts), strict=True)
    x, seen, context, time, subject = (np.concatenate(column) for column in columns)
    return Samples(x=x, seen=seen, context=context, time=time, subject=subject)
