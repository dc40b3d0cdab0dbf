"""From features to a network's inputs, and from its reconstruction to the score.

A feature is scaled by a fixed physical cap: 1 is the cap, and more than the cap is more than 1.
The network is given the feature clipped to [0, 1]; the error is taken over the unclipped value,
so that more is never less: once a feature is beyond its cap the reconstruction no longer moves
with it, and its error only grows.

A feature that is not seen is masked: the network is given MASKED for it, and it takes no part in
the error, so its value never influences the score.
"""

from typing import NamedTuple

import numpy as np

from mqtt_ids_model.arrays import Flags, Floats

QUIETER = 0.25  # weight of the squared error of a feature that is lower than expected
MASKED = 0.5  # what the network is given for a feature that is not seen


class Scores(NamedTuple):
    """What one batch of n vectors scored.

    `score` (n,) is the reconstruction error. `errors` (n, F) are the squared errors of the
    features, 0 where masked: a row's sum over the number of features seen is its score.
    `reconstruction` (n, F) is what the network takes for usual, 0..1.
    """

    score: Floats
    errors: Floats
    reconstruction: Floats


def network_inputs(x: Floats, seen: Flags, context: Floats) -> Floats:
    """Rows for the network: features x (n, F) clipped and masked, then context (n, C) as it is."""
    features = x.shape[1]
    rows = np.empty((len(x), features + context.shape[1]), np.float32)
    inputs = rows[:, :features]
    np.minimum(np.maximum(x, 0.0), 1.0, out=inputs)  # np.clip takes twice the time
    np.copyto(inputs, MASKED, where=~seen)
    rows[:, features:] = context
    return rows


def reconstruction_error(x: Floats, reconstruction: Floats, seen: Flags) -> tuple[Floats, Floats]:
    """The score (n,) and each feature's squared error (n, F), 0 where it is masked.

    The score is the mean over the features seen of (x - x')**2, where x' = decoder(encoder(x))
    and x is unclipped (the paper's equations 1, 2 and 4). Where x is below x', the error counts
    QUIETER times: what is less than expected is seldom an attack.

    Raises ValueError for a vector of which nothing is seen (it has no score), and where a feature
    that is seen is not a number.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below, where it counts
        errors = x - reconstruction
        quieter = errors < 0.0
        errors *= errors
        np.multiply(errors, QUIETER, out=errors, where=quieter)
    np.copyto(errors, 0.0, where=~seen)
    count = seen.sum(axis=1)
    if not count.all():
        raise ValueError("a vector of which no feature is seen has no score")
    score: Floats = (errors.sum(axis=1) / count).astype(np.float32)
    if not np.isfinite(score).all():
        raise ValueError("a feature that is seen is not a finite number")
    return score, errors
