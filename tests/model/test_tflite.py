"""The .tflite files, in the runtime of this environment and against the numpy arithmetic."""

import itertools

import numpy as np
import pytest
import tflite as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids_model import Autoencoder, network_inputs, open_scorer, to_float, to_int8
from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.int8 import Int8Network
from mqtt_ids_model.quantise import equalise, quantise
from mqtt_ids_model.reader import from_bytes
from mqtt_ids_model.scorer import NUMPY
from mqtt_ids_model.tflite import to_bytes

Vectors = tuple[Floats, Flags, Floats]


def wild_net(sizes: tuple[int, ...], seed: int) -> Autoencoder:
    """Random weights of all magnitudes, so that every shift of the fixed point is met."""
    rng = np.random.default_rng(seed)
    weights = []
    for wide, high in itertools.pairwise(sizes):
        drawn = rng.normal(0.0, 1.5 / np.sqrt(wide), (high, wide))
        drawn *= np.exp(rng.normal(0.0, 1.0, (high, 1)))
        weights.append((drawn.astype(np.float32), rng.normal(0, 0.2, high).astype(np.float32)))
    return Autoencoder(weights)


def probes(inputs: int, seed: int) -> Floats:
    """Rows over the whole of [0, 1], with its ends and the ties of its int8 grid."""
    rng = np.random.default_rng(seed)
    rows = rng.random((700, inputs), dtype=np.float32)
    rows[:50] = 0.0
    rows[50:100] = 1.0
    rows[100:300] = (rng.integers(0, 255, (200, inputs)) + 0.5) / 255.0
    rows[300:320] = 0.5
    rows[320:340] = rng.choice([-3.0, 7.0], (20, inputs))
    return rows


def test_float_equals_numpy(net: Autoencoder, runtime: str) -> None:
    rows = probes(net.inputs, seed=1)[:320]
    out = open_scorer(to_float(net), runtime).reconstruct(rows)
    np.testing.assert_allclose(out, net.forward(rows), atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_int8_equals_numpy_bit_for_bit(seed: int, runtime: str) -> None:
    sizes = [(18, 128, 64, 32, 16, 32, 64, 128, 16), (7, 5, 3), (3, 1, 33, 9), (300, 40, 300)]
    net = wild_net(sizes[seed % len(sizes)], seed)
    rows = probes(net.inputs, seed)
    equalise(net, rows[:300])
    file = to_int8(net, rows[:300])
    out = open_scorer(file, runtime).reconstruct(rows)
    assert np.array_equal(out, open_scorer(file, NUMPY).reconstruct(rows))
    assert len(np.unique(out)) > 10  # and not one value for all


def test_int8_of_a_trained_network_equals_numpy_bit_for_bit(
    int8_file: bytes, odd: Vectors, runtime: str
) -> None:
    rows = network_inputs(*odd)
    out = open_scorer(int8_file, runtime).reconstruct(rows)
    assert np.array_equal(out, open_scorer(int8_file, NUMPY).reconstruct(rows))


def test_a_float_file_comes_back_bit_for_bit(net: Autoencoder) -> None:
    back = from_bytes(to_float(net))
    assert isinstance(back, Autoencoder)
    assert back.sizes == net.sizes
    assert np.array_equal(back.parameters, net.parameters)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=9), st.integers(0, 2**32 - 1))
def test_every_shape_of_network_comes_back_as_it_was(sizes: list[int], seed: int) -> None:
    net = wild_net(tuple(sizes), seed)
    rows = ROWS[:, : sizes[0]]
    assert np.array_equal(from_bytes(to_bytes(net)).forward(rows), net.forward(rows))
    int8 = quantise(net, np.random.default_rng(seed).random((20, sizes[0]), dtype=np.float32))
    file = to_bytes(int8)
    back = from_bytes(file)
    assert isinstance(back, Int8Network)
    assert back.input == int8.input
    for found, wanted in zip(back.layers, int8.layers, strict=True):
        assert found.output == wanted.output
        assert np.array_equal(found.weights, wanted.weights)
        assert np.array_equal(found.steps, wanted.steps)
        assert np.array_equal(found.bias, wanted.bias)
    assert to_bytes(back) == file


ROWS = np.random.default_rng(0).random((3, 40), dtype=np.float32)


def test_the_file_follows_the_int8_specification(net: Autoencoder, calm: Vectors) -> None:
    file = to_int8(net, network_inputs(*calm))
    model = schema.Model.GetRootAs(file)
    graph = model.Subgraphs(0)
    assert model.SubgraphsLength() == 1
    every = [graph.Tensors(number) for number in range(graph.TensorsLength())]
    tensors = {tensor.Name().decode(): tensor for tensor in every}
    assert graph.Tensors(graph.Inputs(0)).Type() == schema.TensorType.FLOAT32
    assert graph.Tensors(graph.Outputs(0)).Type() == schema.TensorType.FLOAT32
    for number, size in enumerate(net.sizes[1:]):
        weights, bias = tensors[f"weights{number}"], tensors[f"bias{number}"]
        assert weights.Type() == schema.TensorType.INT8
        assert bias.Type() == schema.TensorType.INT32
        assert weights.Quantization().ScaleLength() == size
        assert weights.Quantization().QuantizedDimension() == 0
        assert not weights.Quantization().ZeroPointAsNumpy().any()
        assert not bias.Quantization().ZeroPointAsNumpy().any()
        rows = tensors[f"layer{number}"]
        assert rows.ShapeSignatureAsNumpy().tolist() == [-1, size]
    sigmoid = tensors["sigmoid"].Quantization()
    assert (sigmoid.Scale(0), sigmoid.ZeroPoint(0)) == (1 / 256, -128)


def test_operator_versions_suit_the_old_runtime(net: Autoencoder, int8_file: bytes) -> None:
    """tflite-runtime 2.14 refuses versions above these."""
    newest = {
        schema.BuiltinOperator.FULLY_CONNECTED: 11,
        schema.BuiltinOperator.LOGISTIC: 3,
        schema.BuiltinOperator.QUANTIZE: 3,
        schema.BuiltinOperator.DEQUANTIZE: 5,
    }
    for file in (to_float(net), int8_file):
        model = schema.Model.GetRootAs(file)
        for number in range(model.OperatorCodesLength()):
            code = model.OperatorCodes(number)
            assert 1 <= code.Version() <= newest[code.BuiltinCode()]
            assert code.BuiltinCode() == code.DeprecatedBuiltinCode()


def test_constant_data_is_aligned(int8_file: bytes) -> None:
    model = schema.Model.GetRootAs(int8_file)
    start = np.frombuffer(int8_file, np.uint8).ctypes.data
    found = [model.Buffers(number).DataAsNumpy() for number in range(model.BuffersLength())]
    offsets = [data.ctypes.data - start for data in found if isinstance(data, np.ndarray)]
    assert len(offsets) == 16  # weights and bias of eight layers
    assert [offset % 16 for offset in offsets] == [0] * 16


def test_the_same_network_gives_the_same_bytes(net: Autoencoder, calm: Vectors) -> None:
    rows = network_inputs(*calm)
    assert to_int8(net, rows) == to_int8(net.copy(), rows.copy())
