"""Trains the shipped model on the lab, from a seed: collect, train, quantise, set thresholds."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.events import SENSORS
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES
from mqtt_ids.lab.samples import sample
from mqtt_ids.learning.lessons import (
    CALM_CLASSES,
    Course,
    Say,
    golden,
    of_class,
    score,
    teach,
    typical,
    untaught,
)
from mqtt_ids.learning.levels import firing_levels, within_budget
from mqtt_ids.learning.samples import (
    SUBJECTS_PER_SOURCE,
    Samples,
    as_seen_by,
    came_back,
    joined,
)
from mqtt_ids.mask_classes import in_card, mask_class
from mqtt_ids_model import Card, mean_std, save_model

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
COURSE: Final = Course(epochs=(8, 9, 9), tuning=4, rate=1e-3, hard=40_000)
MOST_ROWS_PER_HOME: Final = 5_000
SAY_EVERY: Final = 40  # homes
WEEK: Final = 7 * 86_400.0


def school(folder: Path, seed: int, say: Say, workers: int = 2) -> Card:
    """Make a model from the lab and write it to `folder`. The same seed gives the same model."""
    with ProcessPoolExecutor(workers) as pool:
        learned = collect(pool, TRAIN_HOMES, HOURS, TRAIN_EVENTFUL, (KEPT, KEPT_RARE))
        kept = (CALIBRATION_KEPT, 1.0)  # these homes are played while the network is trained
        others = collect(pool, CALIBRATION_HOMES, CALIBRATION_HOURS, EVENTFUL, kept)
        say(f"collecting calm vectors from {len(TRAIN_HOMES)} homes")
        calm = joined(_counted(learned, len(TRAIN_HOMES), say))
        rows = _balanced(calm, np.random.default_rng(seed))
        say(f"training on {len(rows)} vectors of {len(NAMES)} features")
        net = untaught(seed)
        model = teach(net, calm, rows, COURSE, seed, say)
        say(f"calibrating on {len(CALIBRATION_HOMES)} other homes")
        other = joined(_counted(others, len(CALIBRATION_HOMES), say))
    weeks = len(CALIBRATION_HOMES) / WATCHED * CALIBRATION_HOURS * 3600.0 * EVENT_WEEKS / WEEK
    thresholds, calibrated = calibrate(model, other, weeks)
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
            "epochs": sum(COURSE.epochs),
            "tuning_epochs": COURSE.tuning,
            "calibration": calibrated,
        },
    )


def collect(
    pool: Executor, homes: range, hours: float, eventful: float, kept: tuple[float, float]
) -> Iterator[Samples]:
    """Calm vectors of homes of the training family; every third home is very eventful.

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
    return pool.map(_sample, jobs)


def _counted(parts: Iterable[Samples], count: int, say: Say) -> Iterator[Samples]:
    """The same; says now and then how many there were."""
    for number, part in enumerate(parts, 1):
        yield part
        if number % SAY_EVERY == 0:
            say(f"  {number} of {count} homes")


def calibrate(
    model: bytes, calm: Samples, weeks: float
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Per mask class, the paper's mean + std and the threshold that keeps the budget; and figures.

    The figures are of the calm vectors of the class: how many, the share that is below either
    threshold, and the highest firing level in thresholds.
    """
    thresholds, figures = {}, {}
    for sensor, sees in SENSORS.items():
        seen = as_seen_by(calm, sees)
        scores = score(model, seen)
        for role, earned in CALM_CLASSES:
            mine = of_class(seen, role, earned=earned)
            values = scores[mine]
            levels = firing_levels(seen.time[mine], values, seen.subject[mine])
            name = in_card(sensor, mask_class(role, earned=earned))
            budget, paper = within_budget(levels, weeks), mean_std(values)
            thresholds[name] = {"budget": budget, "mean-std": paper}
            figures[name] = {
                "vectors": len(values),
                "below_budget": round(float(np.mean(values <= budget)), 7),
                "below_mean_std": round(float(np.mean(values <= paper)), 5),
                "highest_level": round(float(levels.max()) / budget, 3),
            }
    return thresholds, figures


def _sample(job: tuple[int, float, float, float, float]) -> Samples:
    seed, duration, eventful, keep, rare = job
    return sample(seed, family="train", duration=duration, eventful=eventful, keep=keep, rare=rare)


def _balanced(samples: Samples, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of which no home has more than its share, so that busy homes do not rule.

    Up to half of a home's share are moments after a connection, which are short and rare.
    """
    homes = samples.subject // SUBJECTS_PER_SOURCE
    back = came_back(samples.x)
    chosen = []
    for home in np.unique(homes):
        here = homes == home
        rare = rng.permutation(np.flatnonzero(here & back))[: MOST_ROWS_PER_HOME // 2]
        common = rng.permutation(np.flatnonzero(here & ~back))
        chosen += [rare, common[: MOST_ROWS_PER_HOME - len(rare)]]
    return np.concatenate(chosen)
