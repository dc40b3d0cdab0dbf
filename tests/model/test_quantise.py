import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids_model import Autoencoder, network_inputs, reconstruction_error
from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.int8 import SIGMOID, Affine, Int8Layer, Int8Network
from mqtt_ids_model.quantise import LOGITS, affine, equalise, quantise

Vectors = tuple[Floats, Flags, Floats]


def scores(network: Autoencoder | Int8Network, vectors: Vectors) -> Floats:
    x, seen, _ = vectors
    return reconstruction_error(x, network.forward(network_inputs(*vectors)), seen)[0]


def test_int8_decides_as_float_does(
    net: Autoencoder, calm: Vectors, fresh_calm: Vectors, odd: Vectors
) -> None:
    """Each at its own threshold confirms at least 95 % of what the other finds."""
    int8 = quantise(net, network_inputs(*calm))
    found = []
    for network in (net, int8):
        threshold = np.quantile(scores(network, fresh_calm), 0.999)
        found.append(scores(network, odd) > threshold)
    float_found, int8_found = found
    assert 0.1 < float_found.mean() < 0.95  # neither nothing nor everything
    assert int8_found[float_found].mean() >= 0.95
    assert float_found[int8_found].mean() >= 0.95


def test_int8_errors_are_small_on_calm_and_on_odd_vectors(
    net: Autoencoder, calm: Vectors, odd: Vectors
) -> None:
    int8 = quantise(net, network_inputs(*calm))
    for vectors in (calm, odd):
        rows = network_inputs(*vectors)
        assert np.square(int8.forward(rows) - net.forward(rows)).mean() < 2e-4


def test_equalising_leaves_the_function_as_it_is(net: Autoencoder, calm: Vectors) -> None:
    rows = network_inputs(*calm)
    uneven = net.copy()
    for layer, following in itertools.pairwise(uneven.layers):
        scale = np.exp(np.random.default_rng(9).normal(0, 2, len(layer[1]))).astype(np.float32)
        np.multiply(layer[0], scale[:, None], out=layer[0])
        np.multiply(layer[1], scale, out=layer[1])
        np.divide(following[0], scale, out=following[0])
    np.testing.assert_allclose(uneven.forward(rows), net.forward(rows), atol=1e-5)
    before = np.square(quantise(uneven, rows).forward(rows) - net.forward(rows)).mean()
    equalise(uneven, rows)
    np.testing.assert_allclose(uneven.forward(rows), net.forward(rows), atol=1e-5)
    after = np.square(quantise(uneven, rows).forward(rows) - net.forward(rows)).mean()
    assert after < before / 4


def test_equalising_again_and_again_does_not_blow_up_a_quiet_unit(
    net: Autoencoder, calm: Vectors
) -> None:
    rows = network_inputs(*calm)
    quiet = net.copy()
    weights, bias = quiet.layers[2]
    weights[0] *= 1e-7
    bias[0] *= 1e-7
    for _ in range(5):
        equalise(quiet, rows)
    assert np.square(quantise(quiet, rows).forward(rows) - quiet.forward(rows)).mean() < 2e-4


def test_a_network_of_dead_units_and_large_biases_can_be_quantised() -> None:
    dead = Autoencoder(
        [
            (np.full((4, 3), -1e-9, np.float32), np.array([0, -5, 3, 2], np.float32)),
            (np.zeros((2, 4), np.float32), np.array([-1, 2], np.float32)),
        ]
    )
    rows = np.random.default_rng(0).random((10, 3), dtype=np.float32)
    out = quantise(dead, rows).forward(rows)
    np.testing.assert_allclose(out, dead.forward(rows), atol=4 / 256)


def test_inputs_always_cover_zero_to_one(net: Autoencoder) -> None:
    rows = np.full((10, net.inputs), 0.25, np.float32)
    assert quantise(net, rows).input == affine(0.0, 1.0)


def test_logits_beyond_the_limits_do_not_change_the_sigmoid() -> None:
    edges = np.array([*LOGITS, LOGITS[0] - 20, LOGITS[1] + 20])
    outputs = np.floor(256 / (1 + np.exp(-edges)) + 0.5)
    assert np.minimum(outputs, 255).tolist() == [0, 255, 0, 255]


def test_calibration_needs_rows(net: Autoencoder) -> None:
    with pytest.raises(ValueError, match="no calibration rows"):
        quantise(net, np.empty((0, net.inputs), np.float32))


@given(
    st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32), st.floats(0.0, 1.0, width=32)
)
def test_a_grid_covers_its_range_and_holds_zero(one: float, two: float, share: float) -> None:
    low, high = min(one, two, 0.0), max(one, two, 0.0)
    grid = affine(low, high)
    assert -128 <= grid.zero <= 127
    value = low + share * (high - low)
    held = min(max(round(value / grid.step) + grid.zero, -128), 127)
    back = grid.step * (held - grid.zero)
    assert abs(back - value) <= grid.step * 1.01
    assert grid.step == float(np.float32(grid.step))


ONE = np.ones((1, 1), np.int8)


@pytest.mark.parametrize(
    ("grid", "steps", "bias", "reason"),
    [
        (Affine(float("nan"), 0), 1e-3, 0, "step nan"),
        (Affine(0.0, 0), 1e-3, 0, "step 0"),
        (Affine(0.1, 128), 1e-3, 0, "zero 128"),
        (Affine(0.1, 0), 1e6, 0, "fixed point"),
        (Affine(0.1, 0), 1e-20, 0, "fixed point"),
        (Affine(0.1, 0), float("nan"), 0, "fixed point"),
        (Affine(0.1, 0), -1e-3, 0, "fixed point"),
        (Affine(0.1, 0), 1e-3, 2**31 - 1, "overflow"),
        (Affine(0.1, 0), 1e-3, -(2**31), "overflow"),
    ],
)
def test_arithmetic_that_the_kernels_cannot_hold_is_refused(
    grid: Affine, steps: float, bias: int, reason: str
) -> None:
    layer = Int8Layer(ONE, np.array([steps], np.float32), np.array([bias], np.int32), SIGMOID)
    with pytest.raises(ValueError, match=reason):
        Int8Network(grid, [layer])
