"""Calm vectors: what the network learns from and is calibrated on."""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.events import Sees
from mqtt_ids.feature_table import CONTEXT, FEATURES, Shape
from mqtt_ids.features import OLD_UNKNOWN, scaled_age
from mqtt_ids.watch import AnyBatch
from mqtt_ids.windows import Floats

SUBJECTS_PER_SOURCE: Final = 100_000  # the subjects of one home or capture are numbered below

_LINEAR = np.array([feature.shape is Shape.LINEAR for feature in FEATURES])
_LEARNED = np.array([feature.learned for feature in FEATURES])
_AGE, _HAS_NORMAL = CONTEXT.index("age"), CONTEXT.index("has_normal")
_OLDEST = float(scaled_age(np.array(OLD_UNKNOWN)))
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

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Samples":
        """These rows alone."""
        return Samples(
            x=self.x[rows],
            seen=self.seen[rows],
            context=self.context[rows],
            time=self.time[rows],
            subject=self.subject[rows],
        )


def kept(
    batch: AnyBatch, now: float, rng: np.random.Generator, keep: float, rare: float
) -> Samples:
    """The vectors of a batch that were judged at `now`: a share `keep`, `rare` of the notable."""
    vectors = batch.vectors
    rare_things = np.any(vectors.x[:, _LINEAR] > _NOTABLE, axis=1)
    notable = np.logical_or(rare_things, np.any(vectors.x > _LOUD, axis=1))
    notable = np.logical_or(notable, vectors.context[:, 1] < _YOUNG)
    notable = np.logical_or(notable, came_back(vectors.x))
    draw = rng.random(len(notable))
    chosen = np.flatnonzero(draw < np.where(notable, max(keep, rare), keep))
    side = _HOSTS_FROM if batch.role.value == "host" else 0
    rows = np.array([batch.subjects[i].row + side for i in chosen], np.int64)
    return Samples(
        x=vectors.x[chosen],
        seen=vectors.seen[chosen],
        context=vectors.context[chosen],
        time=np.full(len(chosen), now),
        subject=rows,
    )


def without_normal(samples: Samples) -> Samples:
    """The same vectors as they would be if their subjects had no normal yet."""
    context = samples.context.copy()
    context[:, _HAS_NORMAL] = 0.0
    context[:, _AGE] = np.minimum(context[:, _AGE], _OLDEST)
    return Samples(
        x=samples.x,
        seen=samples.seen & ~_LEARNED,
        context=context,
        time=samples.time,
        subject=samples.subject,
    )


def as_seen_by(samples: Samples, sees: Sees) -> Samples:
    """The same vectors as a sensor that sees only so much would give them."""
    needs = np.array([feature.needs in sees for feature in FEATURES])
    return Samples(
        x=samples.x,
        seen=samples.seen & needs,
        context=samples.context,
        time=samples.time,
        subject=samples.subject,
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
