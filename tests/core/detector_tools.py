"""A small but real model, taught in seconds, and a detector that is ticked as in life."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector, mask_class
from mqtt_ids.events import SEES_ALL, Event
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES
from mqtt_ids.lab.samples import joined, sample
from mqtt_ids.lab.schooling import CALM_CLASSES, corrupt, golden, score, typical
from mqtt_ids_model import (
    Autoencoder,
    Model,
    load_model,
    network_inputs,
    save_model,
    to_int8,
    train,
)

HOMES = (1, 2, 3)
SECONDS = 2700.0
EPOCHS = 40
MARGIN = 1.5  # above the highest calm score


def small_model(folder: Path) -> Model:
    """A model of three homes' three quarters of an hour, saved and loaded like any other."""
    calm = joined(
        [sample(home, family="train", duration=SECONDS, eventful=1.0, keep=0.25) for home in HOMES]
    )
    x = network_inputs(calm.x, calm.seen, calm.context)
    target = np.ascontiguousarray(x[:, : len(NAMES)])
    net = Autoencoder.fresh(x.shape[1], len(NAMES), 1)
    train(net, x, target, calm.seen, epochs=EPOCHS, seed=1, rate=3e-3, corrupt=corrupt)
    data = to_int8(net, x)
    worst = MARGIN * float(score(data, calm).max())
    save_model(
        folder,
        model=data,
        net=None,
        features=NAMES,
        units=[feature.unit for feature in FEATURES],
        context=CONTEXT,
        thresholds={
            mask_class(role, earned=earned): {"budget": worst, "mean-std": worst}
            for role, earned in CALM_CLASSES
        },
        golden=golden(calm),
        typical=typical(calm),
        trained={"seed": 1},
    )
    return load_model(folder, NAMES, CONTEXT)


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
