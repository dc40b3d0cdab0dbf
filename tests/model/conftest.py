"""A small network, trained once, and vectors of eight kinds of subject with 14 features."""

import numpy as np
import pytest

from mqtt_ids_model import Autoencoder, network_inputs, to_int8, train
from mqtt_ids_model.arrays import Flags, Floats

FEATURES, CONTEXT = 14, 2

Vectors = tuple[Floats, Flags, Floats]


def draw(count: int, seed: int) -> Vectors:
    """Calm vectors: each subject near its kind's habits, some features hidden from some."""
    habits = np.random.default_rng(1).gamma(0.7, 0.25, (8, FEATURES)).clip(0.0, 0.9)
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 8, count)
    x = habits[kind] * np.exp(rng.normal(0.0, 0.15, (count, 1)))
    x += rng.normal(0.0, 0.01, x.shape)
    seen = np.ones(x.shape, np.bool_)
    seen[rng.random(count) < 0.3, 9:] = False
    context = np.stack([kind % 2, rng.random(count)], axis=1)
    return np.abs(x).astype(np.float32), seen, context.astype(np.float32)


@pytest.fixture(scope="session")
def calm() -> Vectors:
    return draw(6000, seed=2)


@pytest.fixture(scope="session")
def fresh_calm() -> Vectors:
    """Calm vectors that no training saw."""
    return draw(3000, seed=3)


@pytest.fixture(scope="session")
def odd() -> Vectors:
    """Vectors of which one to four features are off by a little, much, or beyond their caps."""
    x, seen, context = draw(3000, seed=4)
    rng = np.random.default_rng(5)
    hit = rng.random(x.shape) < rng.integers(1, 5, (len(x), 1)) / FEATURES
    x += hit * rng.choice([0.1, 0.3, 1.0, 20.0], (len(x), 1)).astype(np.float32)
    return x, seen, context


@pytest.fixture(scope="session")
def net(calm: Vectors) -> Autoencoder:
    x, seen, _ = calm
    made = Autoencoder.fresh(FEATURES + CONTEXT, FEATURES, seed=7)
    train(made, network_inputs(*calm), np.clip(x, 0.0, 1.0), seen, epochs=25, seed=8)
    return made


@pytest.fixture(scope="session")
def int8_file(net: Autoencoder, calm: Vectors) -> bytes:
    return to_int8(net, network_inputs(*calm))
