"""Teaching the network what calm looks like, and what its card says of calm afterwards."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mqtt_ids.events import SEES_ALL, SENSORS
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES, Role
from mqtt_ids.features import in_units
from mqtt_ids.learning.samples import Samples
from mqtt_ids.windows import Floats
from mqtt_ids_model import (
    Autoencoder,
    network_inputs,
    open_scorer,
    reconstruction_error,
    to_int8,
    train,
)

Say = Callable[[str], None]

HARD_TIMES: Final = 5
CORRUPTED: Final = 0.12  # of the features of a training vector
MASKED_ROWS: Final = 0.12  # of the training vectors, for each sensor that does not see all
BATCH: Final = 512
LOW_RATE: Final = 1e-4
RANGES_FROM: Final = 50_000  # rows, about, that the ranges of int8 are measured with

_BLIND: Final = [
    np.array([feature.needs in sees for feature in FEATURES])
    for sees in SENSORS.values()
    if sees != SEES_ALL
]
CALM_CLASSES: Final = tuple(
    (role, earned) for role in (Role.CLIENT, Role.HOST) for earned in (False, True)
)


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How a network is taught.

    `epochs` of each round at `rate`; what a round leaves odd is rare and legitimate all the same:
    the `hard` oddest rows are repeated in the next, until the network takes them for granted.
    `tuning` epochs with fake quantisation follow, at a low rate.
    """

    epochs: Sequence[int]
    tuning: int
    rate: float
    hard: int


def untaught(seed: int) -> Autoencoder:
    """A network for today's features that has learned nothing yet."""
    return Autoencoder.fresh(len(NAMES) + len(CONTEXT), len(NAMES), seed)


def teach(
    net: Autoencoder, calm: Samples, rows: NDArray[np.intp], course: Course, seed: int, say: Say
) -> bytes:
    """Train `net` in place to undo corruption of `calm` at `rows`; its int8 form."""

    def progress(epoch: int, loss: float) -> None:
        say(f"epoch {epoch}: loss {loss:.6f}")

    for number, epochs in enumerate(course.epochs):
        lesson = rows
        if number:
            hard = np.argsort(errors(net, calm))[-course.hard :]
            lesson = np.concatenate([rows, *[hard] * HARD_TIMES])
        x, target, seen = _lesson(calm, lesson, np.random.default_rng((seed, number)))
        train(
            net, x, target, seen, epochs=epochs, seed=seed + number, batch=BATCH,
            rate=course.rate, corrupt=corrupt, progress=progress,
        )  # fmt: skip
    train(
        net, x, target, seen, epochs=course.tuning, seed=seed + len(course.epochs), batch=BATCH,
        rate=min(course.rate, LOW_RATE), corrupt=corrupt, fake_quant=True, progress=progress,
    )  # fmt: skip
    return to_int8(net, x[:: max(1, len(x) // RANGES_FROM)])


def _lesson(
    calm: Samples, rows: NDArray[np.intp], rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Inputs, targets and masks of these rows, a share of them as a sensor that sees less."""
    seen = calm.seen[rows]
    draw = rng.random(len(rows))
    for number, needs in enumerate(_BLIND):
        seen[(draw >= number * MASKED_ROWS) & (draw < (number + 1) * MASKED_ROWS)] &= needs
    x = network_inputs(calm.x[rows], seen, calm.context[rows])
    return x, np.ascontiguousarray(x[:, : len(NAMES)]), seen


def corrupt(rng: np.random.Generator, rows: Floats, seen: np.ndarray) -> Floats:
    """Replace some features by anything at all, so that each is learned from the others.

    Half the rows stay clean. Without this the network copies its inputs and would reconstruct
    an attack just as well.
    """
    width = seen.shape[1]
    hit = (rng.random(seen.shape) < CORRUPTED) & seen.astype(bool)
    hit &= rng.random((len(rows), 1)) < 0.5  # noqa: PLR2004 - a half
    noise = rng.random(seen.shape, np.float32)
    rows[:, :width] = np.where(hit, noise, rows[:, :width])
    return rows


def score(model: bytes, samples: Samples) -> Floats:
    """The quantised model's reconstruction error of every sample."""
    return _scored(open_scorer(model).reconstruct, samples)


def errors(net: Autoencoder, samples: Samples) -> Floats:
    """The float network's reconstruction error of every sample."""
    return _scored(net.forward, samples)


def _scored(reconstruct: Callable[[Floats], Floats], samples: Samples) -> Floats:
    parts = []
    for first in range(0, len(samples.x), 65_536):
        some = slice(first, first + 65_536)
        x, seen = samples.x[some], samples.seen[some]
        out = reconstruct(network_inputs(x, seen, samples.context[some]))
        parts.append(reconstruction_error(x, out, seen)[0])
    return np.concatenate(parts)


def of_class(samples: Samples, role: Role, *, earned: bool) -> NDArray[np.bool_]:
    """Which rows belong to this one of CALM_CLASSES."""
    context = samples.context
    mine: NDArray[np.bool_] = (context[:, 0] == (role is Role.HOST)) & (context[:, 2] == earned)
    return mine


def golden(calm: Samples) -> tuple[Floats, np.ndarray, Floats]:
    """Vectors that every load must score alike: calm, at their caps, and far beyond."""
    rows = np.linspace(0, len(calm.x) - 1, 6).astype(int)
    x, seen, context = calm.x[rows].copy(), calm.seen[rows], calm.context[rows]
    x[2:4] = 1.0
    x[4:] = 20.0
    return x, seen, context


def typical(calm: Samples) -> dict[str, dict[str, float]]:
    """Per feature, what is common and what is rare in calm homes, in units."""
    common = {}
    for place, feature in enumerate(FEATURES):
        if feature.learned:
            continue
        values = calm.x[calm.seen[:, place], place]
        if not len(values):  # no sensor saw it
            continue
        levels = np.zeros((2, len(FEATURES)), np.float32)
        levels[:, place] = np.quantile(values, (0.5, 0.999))
        p50, p999 = in_units(levels)[:, place]
        common[feature.name] = {"p50": float(f"{p50:.4g}"), "p999": float(f"{p999:.4g}")}
    return common
