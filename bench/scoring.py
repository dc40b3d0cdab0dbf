"""Scores: microseconds per vector, by every runtime that is installed."""

import time
from importlib import resources

import numpy as np
from report import Row

from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids_model import Model, ModelError, open_scorer
from mqtt_ids_model.card import MODEL_FILE
from mqtt_ids_model.scorer import RUNTIMES

BATCHES = (1, 32, 256)
LEAST_SECONDS = 0.3
ROUNDS = 5


def run() -> list[Row]:
    """One row per runtime."""
    shipped = open_model(DEFAULT)
    data = (resources.files("mqtt_ids_model") / DEFAULT / MODEL_FILE).read_bytes()
    rows = []
    for runtime in RUNTIMES:
        try:
            scorer = open_scorer(data, runtime)
        except ModelError:
            rows.append(Row(what=f"score, {runtime}", measured="not installed"))
            continue
        each = [_microseconds(Model(shipped.card, scorer, None), batch) for batch in BATCHES]
        rows.append(
            Row(
                what=f"score, {runtime}, in batches of {' / '.join(map(str, BATCHES))}",
                measured=f"{' / '.join(f'{value:.3g}' for value in each)} µs a vector",
            )
        )
    return rows


def _microseconds(model: Model, batch: int) -> float:
    """The best of some rounds: what disturbs a round only makes it longer."""
    rng = np.random.default_rng(7)
    features, context = len(model.card.features), len(model.card.context)
    x = rng.random((batch, features), np.float32)
    seen = rng.random((batch, features)) < 0.5
    seen[:, 0] = True
    beside = rng.random((batch, context), np.float32)
    best = np.inf
    for _ in range(ROUNDS):
        calls, start, spent = 0, time.perf_counter(), 0.0
        while spent < LEAST_SECONDS:
            model.score(x, seen, beside)
            calls += 1
            spent = time.perf_counter() - start
        best = min(best, spent / calls / batch)
    return 1e6 * best
