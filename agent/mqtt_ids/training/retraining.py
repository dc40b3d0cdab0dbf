"""A model for one's own home: the shipped one taught further, or one taught from nothing.

The thresholds come from the part of the sources that was held out. A few hours of one home say
little of rare events, so each stays near the shipped one, which weeks of many homes have set.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import numpy as np

from mqtt_ids.errors import TrainingError
from mqtt_ids.events import SENSORS
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES
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
from mqtt_ids.learning.samples import Samples, as_seen_by, joined, without_normal
from mqtt_ids.mask_classes import in_card, mask_class
from mqtt_ids.training.drill import Found, drill
from mqtt_ids.training.material import Finding, Material
from mqtt_ids.training.rehearsal import rehearsal
from mqtt_ids.windows import Floats
from mqtt_ids_model import (
    Autoencoder,
    Card,
    Model,
    load_model,
    mean_std,
    save_model,
)

NEEDED: Final = 3 * 3600.0  # seconds of captures
NEEDED_VECTORS: Final = 3000
FURTHER: Final = Course(epochs=(3,), tuning=2, rate=1e-4, hard=0)
FRESH: Final = Course(epochs=(10, 10), tuning=4, rate=1e-3, hard=5_000)
REHEARSED: Final = 0.3  # vectors of the lab's homes for each of one's own
TWINS: Final = 0.5  # of the vectors with a normal are taught without one, too
LEAST, MOST = 0.5, 3.0  # times the shipped threshold
FEWEST: Final = 50  # vectors of a mask class that say something of its threshold
WEEK: Final = 7 * 86_400.0
ALL: Final = "all"  # the sensor that captures are seen with

Thresholds = dict[str, dict[str, float]]


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A network, its int8 form, its thresholds, and what its card will say of its training."""

    net: Autoencoder
    model: bytes
    thresholds: Thresholds
    golden: tuple[Floats, np.ndarray, Floats]
    typical: Mapping[str, Mapping[str, float]]
    figures: Mapping[str, Any]


def check(material: Material, *, anyway: bool) -> None:
    """Raises TrainingError where there is too little, or, unless `anyway`, what is no calm."""
    vectors = len(material.learned) + len(material.held_out)
    if material.duration < NEEDED or vectors < NEEDED_VECTORS:
        raise TrainingError(
            f"too little to learn from: {_long(material.duration)} of MQTT with {vectors} vectors;"
            f" at least {_long(NEEDED)} and {NEEDED_VECTORS} are needed, and a day is better"
        )
    if material.findings and not anyway:
        raise TrainingError(
            f"this is not calm: {_told(material.findings)}; train on what is calm,"
            " or --anyway if all this is normal here"
        )


def _told(findings: Sequence[Finding]) -> str:
    told = [
        f"{one.alert.attack} by {one.alert.client_id or one.alert.address} after {_long(one.after)}"
        for one in findings[:3]
    ]
    more = len(findings) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _long(seconds: float) -> str:
    return f"{seconds / 3600.0:.1f} h"


def retrain(shipped: Model, material: Material, *, fresh: bool, seed: int, say: Say) -> Trained:
    """Teach a network what is calm in `material`. The same seed and vectors give the same model.

    Raises TrainingError where the shipped model keeps no float weights to start from.
    """
    rng = np.random.default_rng(seed)
    calm = _with_twins(material.learned, rng)
    if fresh:
        net, course = untaught(seed), FRESH
    elif shipped.net is None:
        raise TrainingError("the model has no float weights to start from; use --fresh")
    else:
        net, course = shipped.net.copy(), FURTHER
        say("playing the lab's homes, to be learned along with this one")
        calm = joined([calm, _some(rehearsal(), int(REHEARSED * len(calm)), rng)])
    say(f"training on {len(calm)} vectors of {len(NAMES)} features")
    model = teach(net, calm, np.arange(len(calm)), course, seed, say)
    thresholds = _thresholds(shipped.card, model, material, rng)
    return Trained(
        net=net,
        model=model,
        thresholds=thresholds,
        golden=golden(calm),
        typical={**shipped.card.typical, **typical(material.learned)},
        figures={
            "by": "mqtt-ids train",
            "from": "nothing" if fresh else "the shipped model",
            "seed": seed,
            **_amounts(material),
            **_held_out_figures(thresholds, model, material.held_out),
        },
    )


def _some(samples: Samples, count: int, rng: np.random.Generator) -> Samples:
    """At most so many of them."""
    if count >= len(samples):
        return samples
    return samples.at(rng.choice(len(samples), count, replace=False))


def _with_twins(samples: Samples, rng: np.random.Generator) -> Samples:
    """The samples, and some of those with a normal once more as if they had none.

    Those who have none yet are few in a long capture, and each newcomer will be one.
    """
    earned = np.flatnonzero(samples.context[:, CONTEXT.index("has_normal")])
    twins = earned[rng.random(len(earned)) < TWINS]
    return joined([samples, without_normal(samples.at(twins))])


def _thresholds(
    shipped: Card, model: bytes, material: Material, rng: np.random.Generator
) -> Thresholds:
    """Per mask class, what keeps the budget in the held-out part, within bounds."""
    held_out = _with_twins(material.held_out, rng)
    weeks = material.held_out_duration / WEEK
    most = 1.0 if material.findings else MOST  # what looks like an attack must not deafen it
    thresholds = {}
    for sensor, sees in SENSORS.items():
        seen = as_seen_by(held_out, sees)
        scores = score(model, seen)
        for role, earned in CALM_CLASSES:
            name = in_card(sensor, mask_class(role, earned=earned))
            usual = shipped.thresholds[name]
            mine = of_class(seen, role, earned=earned)
            if np.count_nonzero(mine) < FEWEST:
                thresholds[name] = dict(usual)
                continue
            values = scores[mine]
            levels = firing_levels(seen.time[mine], values, seen.subject[mine])
            times = within_budget(levels, weeks) / usual["budget"]
            thresholds[name] = {
                "budget": usual["budget"] * float(np.clip(times, LEAST, most)),
                "mean-std": mean_std(values),
            }
    return thresholds


def _amounts(material: Material) -> dict[str, Any]:
    return {
        "hours": round(material.duration / 3600.0, 2),
        "events": material.events,
        "clients": material.clients,
        "addresses": material.addresses,
        "incidents_taken_for_calm": len(material.findings),
        "vectors": len(material.learned),
        "held_out_hours": round(material.held_out_duration / 3600.0, 2),
        "held_out_vectors": len(material.held_out),
    }


def _held_out_figures(
    thresholds: Thresholds, model: bytes, held_out: Samples
) -> dict[str, float | int]:
    """How many alerts, and which share of the vectors is below its threshold."""
    scores = score(model, held_out)
    limits = np.empty(len(scores))
    for role, earned in CALM_CLASSES:
        threshold = thresholds[in_card(ALL, mask_class(role, earned=earned))]["budget"]
        limits[of_class(held_out, role, earned=earned)] = threshold
    return {
        "held_out_share_below_threshold": round(float(np.mean(scores <= limits)), 6),
        "held_out_alerts": _alerts(thresholds, held_out, scores),
    }


def _alerts(thresholds: Thresholds, held_out: Samples, scores: Floats) -> int:
    """How often a subject would have been judged an attack."""
    alerts = 0
    for role, earned in CALM_CLASSES:
        mine = of_class(held_out, role, earned=earned)
        if not mine.any():
            continue
        levels = firing_levels(held_out.time[mine], scores[mine], held_out.subject[mine])
        threshold = thresholds[in_card(ALL, mask_class(role, earned=earned))]["budget"]
        alerts += int(np.count_nonzero(levels > threshold))
    return alerts


def examine(trained: Trained) -> list[Found]:
    """The drill, taken by the model as it will be loaded."""
    with TemporaryDirectory() as folder:
        save(Path(folder), trained, [])
        return drill(load_model(Path(folder), NAMES, CONTEXT))


def check_drill(found: Sequence[Found]) -> None:
    """Raises TrainingError where an attack was missed."""
    missed = [one.kind for one in found if one.after is None]
    if missed:
        raise TrainingError(
            f"the new model misses {', '.join(missed)} in the drill, so it is not saved;"
            " train on more, or on what is certainly calm"
        )


def save(folder: Path, trained: Trained, found: Sequence[Found]) -> Card:
    """Write the model to `folder`; its card. Raises ModelError where that cannot be done."""
    times = [one.after for one in found if one.after is not None]
    return save_model(
        folder,
        model=trained.model,
        net=trained.net,
        features=NAMES,
        units=[feature.unit for feature in FEATURES],
        context=CONTEXT,
        thresholds=trained.thresholds,
        golden=trained.golden,
        typical=trained.typical,
        trained={
            **trained.figures,
            "attacks_found": f"{len(times)} of {len(found)}",
            "attacks_found_after": max(times, default=0.0),
        },
    )
