"""Trains the shipped model on the lab, from a seed: collect, train, quantise, set thresholds."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.detector import mask_class
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES, Role
from mqtt_ids.features import in_units
from mqtt_ids.lab.levels import firing_levels
from mqtt_ids.lab.samples import SUBJECTS_PER_HOME, Samples, came_back, joined, sample
from mqtt_ids.windows import Floats
from mqtt_ids_model import (
    Autoencoder,
    Card,
    mean_std,
    network_inputs,
    open_scorer,
    peaks_over_threshold,
    reconstruction_error,
    save_model,
    to_int8,
    train,
)

Say = Callable[[str], None]

TRAIN_HOMES: Final = range(1000, 1480)
CALIBRATION_HOMES: Final = range(5000, 5120)
HOURS: Final = 4.0
CALIBRATION_HOURS: Final = 8.0
START_HOURS: Final = 0.2  # most homes are only watched while they start up
WATCHED: Final = 4  # one home in so many is watched for longer
TRAIN_EVENTFUL: Final = 30.0  # times as many restarts, updates and visitors as in real life
EVENTFUL: Final = 8.0  # the same for calibration
EVENT_WEEKS: Final = 4.0  # what an eventful week counts for, being rarely calm: half of it
KEPT, KEPT_RARE = 0.05, 0.3
CALIBRATION_KEPT: Final = 0.25
EPOCHS: Final = (8, 9, 9)  # of each round; after a round, what is still odd is repeated
HARD_ROWS: Final = 40_000  # that are repeated
HARD_TIMES: Final = 5
TUNING_EPOCHS: Final = 4
MOST_ROWS_PER_HOME: Final = 5_000
CORRUPTED: Final = 0.12  # of the features of a training vector
BASE_QUANTILE: Final = 0.9  # of the firing levels of calm clusters
SAY_EVERY: Final = 40  # homes
WEEK: Final = 7 * 86_400.0
BUDGET: Final = 0.2  # incidents per home and week and mask class
MARGIN: Final = 1.5  # real homes differ from the lab's more than these among themselves

CALM_CLASSES: Final = tuple(
    (role, earned) for role in (Role.CLIENT, Role.HOST) for earned in (False, True)
)


def school(folder: Path, seed: int, say: Say, workers: int = 2) -> Card:
    """Make a model from the lab and write it to `folder`. The same seed gives the same model."""
    say(f"collecting calm vectors from {len(TRAIN_HOMES)} homes")
    calm = collect(TRAIN_HOMES, HOURS, TRAIN_EVENTFUL, (KEPT, KEPT_RARE), workers, say)
    net, model = teach(calm, seed, say)
    say(f"calibrating on {len(CALIBRATION_HOMES)} other homes")
    kept = (CALIBRATION_KEPT, 1.0)
    other = collect(CALIBRATION_HOMES, CALIBRATION_HOURS, EVENTFUL, kept, workers, say)
    weeks = len(CALIBRATION_HOMES) / WATCHED * CALIBRATION_HOURS * 3600.0 * EVENT_WEEKS / WEEK
    thresholds = calibrate(model, other, weeks)
    say(f"thresholds: {thresholds}")
    return save_model(
        folder,
        model=model,
        net=net,
        features=NAMES,
        units=[feature.unit for feature in FEATURES],
        context=CONTEXT,
        thresholds=thresholds,
        golden=golden(calm),
        typical=typical(other),
        trained={
            "seed": seed,
            "homes": len(TRAIN_HOMES),
            "vectors": len(calm.x),
            "calibration_homes": len(CALIBRATION_HOMES),
            "calibration_home_weeks": round(weeks, 2),
            "epochs": sum(EPOCHS),
        },
    )


def collect(
    homes: range,
    hours: float,
    eventful: float,
    kept: tuple[float, float],
    workers: int,
    say: Say,
) -> Samples:
    """Calm vectors of many homes of the training family; every third home is very eventful.

    `kept` are the shares of all vectors and of the notable ones.
    """
    jobs = [
        (
            seed,
            3600.0 * (START_HOURS if seed % WATCHED else hours),
            eventful * (3.0 if seed % 3 == 0 else 1.0),
            *kept,
        )
        for seed in homes
    ]
    parts = []
    with ProcessPoolExecutor(workers) as pool:
        for part in pool.map(_sample, jobs):
            parts.append(part)
            if len(parts) % SAY_EVERY == 0:
                say(f"  {len(parts)} of {len(jobs)} homes")
    return joined(parts)


def teach(calm: Samples, seed: int, say: Say) -> tuple[Autoencoder, bytes]:
    """The network, trained to undo corruption, and its int8 form.

    What a round leaves odd is rare in these homes and legitimate all the same: it is repeated in
    the next, until the network takes it for granted.
    """
    rows = _balanced(calm, np.random.default_rng(seed))
    say(f"training on {len(rows)} vectors of {len(NAMES)} features")
    net = Autoencoder.fresh(len(NAMES) + len(CONTEXT), len(NAMES), seed)

    def progress(epoch: int, loss: float) -> None:
        say(f"epoch {epoch}: loss {loss:.6f}")

    for number, epochs in enumerate(EPOCHS):
        lesson = rows
        if number:
            hard = np.argsort(_errors(net, calm))[-HARD_ROWS:]
            lesson = np.concatenate([rows, *[hard] * HARD_TIMES])
        x, target, seen = _lesson(calm, lesson)
        train(
            net, x, target, seen, epochs=epochs, seed=seed + number, batch=512,
            corrupt=corrupt, progress=progress,
        )  # fmt: skip
    train(
        net, x, target, seen, epochs=TUNING_EPOCHS, seed=seed + len(EPOCHS), batch=512,
        rate=1e-4, corrupt=corrupt, fake_quant=True, progress=progress,
    )  # fmt: skip
    return net, to_int8(net, x[:: max(1, len(x) // 50_000)])


def _lesson(calm: Samples, rows: NDArray[np.intp]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Inputs, targets and masks of these rows."""
    seen = calm.seen[rows]
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


def calibrate(model: bytes, calm: Samples, weeks: float) -> dict[str, dict[str, float]]:
    """Per mask class, the paper's mean + std and the threshold that keeps the budget."""
    scores = score(model, calm)
    thresholds = {}
    for role, earned in CALM_CLASSES:
        mine = (calm.context[:, 0] == (role is Role.HOST)) & (calm.context[:, 2] == earned)
        values = scores[mine]
        levels = firing_levels(calm.time[mine], values, calm.subject[mine])
        base = float(np.quantile(levels, BASE_QUANTILE))
        peaks = levels[levels > base]
        budget = peaks_over_threshold(peaks, base=base, exposure=weeks, budget=BUDGET)
        thresholds[mask_class(role, earned=earned)] = {
            "budget": MARGIN * budget,
            "mean-std": mean_std(values),
        }
    return thresholds


def score(model: bytes, samples: Samples) -> Floats:
    """The quantised model's reconstruction error of every sample."""
    return _scored(open_scorer(model).reconstruct, samples)


def _errors(net: Autoencoder, samples: Samples) -> Floats:
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
        levels = np.zeros((2, len(FEATURES)), np.float32)
        levels[:, place] = np.quantile(values, (0.5, 0.999))
        p50, p999 = in_units(levels)[:, place]
        common[feature.name] = {"p50": float(f"{p50:.4g}"), "p999": float(f"{p999:.4g}")}
    return common


def _sample(job: tuple[int, float, float, float, float]) -> Samples:
    seed, duration, eventful, keep, rare = job
    return sample(seed, family="train", duration=duration, eventful=eventful, keep=keep, rare=rare)


def _balanced(samples: Samples, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of which no home has more than its share, so that busy homes do not rule.

    Up to half of a home's share are moments after a connection, which are short and rare.
    """
    homes = samples.subject // SUBJECTS_PER_HOME
    back = came_back(samples.x)
    chosen = []
    for home in np.unique(homes):
        here = homes == home
        rare = rng.permutation(np.flatnonzero(here & back))[: MOST_ROWS_PER_HOME // 2]
        common = rng.permutation(np.flatnonzero(here & ~back))
        chosen += [rare, common[: MOST_ROWS_PER_HOME - len(rare)]]
    return np.concatenate(chosen)
