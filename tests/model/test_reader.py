"""What is not exactly a network of ours is refused, and nothing but ModelError comes out."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tflite as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt_ids_model import Autoencoder, ModelError, to_float, to_int8
from mqtt_ids_model.reader import MAX_MODEL_BYTES, from_bytes
from mqtt_ids_model.tflite import to_bytes

NET = Autoencoder.fresh(6, 5, seed=1)
INT8 = to_int8(NET, np.random.default_rng(2).random((50, 6), dtype=np.float32))
FLOAT = to_float(NET)

Patch = Callable[[bytearray, schema.Model], None]


def put(data: bytearray, table: schema.Model, slot: int, kind: str, value: float) -> None:
    """Overwrite a scalar field of a flatbuffer's table; `slot` counts fields from 0."""
    inner = table._tab
    where = inner.Offset(4 + 2 * slot)
    assert where, "the field is not in the file"
    struct.pack_into("<" + kind, data, where + inner.Pos, value)


def put_item(
    data: bytearray, table: schema.Model, slot: int, kind: str, value: float, item: int = 0
) -> None:
    """Overwrite an item of a vector field; item -1 is the vector's length."""
    inner = table._tab
    start = inner.Vector(inner.Offset(4 + 2 * slot))
    where = start - 4 if item < 0 else start + item * struct.calcsize(kind)
    struct.pack_into("<" + kind, data, where, value)


def tensor(model: schema.Model, name: str) -> schema.Tensor:
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    return next(one for one in tensors if one.Name().decode() == name)


def operator(model: schema.Model, number: int) -> schema.Operator:
    return model.Subgraphs(0).Operators(number)


def foreign_operator(data: bytearray, model: schema.Model) -> None:
    put(data, model.OperatorCodes(1), 0, "b", schema.BuiltinOperator.TANH)
    put(data, model.OperatorCodes(1), 3, "i", schema.BuiltinOperator.TANH)


def custom_operator(data: bytearray, model: schema.Model) -> None:
    put(data, model.OperatorCodes(1), 0, "b", schema.BuiltinOperator.CUSTOM)
    put(data, model.OperatorCodes(1), 3, "i", schema.BuiltinOperator.CUSTOM)


def per_tensor(data: bytearray, model: schema.Model) -> None:
    for slot in (2, 3):
        put_item(data, tensor(model, "weights3").Quantization(), slot, "I", 1, -1)


def unknown_operator(data: bytearray, model: schema.Model) -> None:
    put(data, model.OperatorCodes(1), 3, "i", 9999)


def options(model: schema.Model) -> schema.FullyConnectedOptions:
    table = operator(model, 1).BuiltinOptions()
    found = schema.FullyConnectedOptions()
    found.Init(table.Bytes, table.Pos)
    return found


CASES: dict[str, tuple[Patch, str]] = {
    "not a .tflite": (lambda d, _: struct.pack_into("4s", d, 4, b"ELF!"), "not a .tflite"),
    "two subgraphs": (lambda d, m: put_item(d, m, 2, "I", 2, -1), "2 subgraphs"),
    "no subgraph": (lambda d, m: put_item(d, m, 2, "I", 0, -1), "0 subgraphs"),
    "foreign operator": (foreign_operator, "operator TANH is not allowed"),
    "custom operator": (custom_operator, "operator CUSTOM is not allowed"),
    "unknown operator": (unknown_operator, "operator 9999 is not allowed"),
    "operators in another order": (
        lambda d, m: put(d, operator(m, 1), 0, "I", 2),
        "a chain of fully connected layers is needed",
    ),
    "too many tensors": (
        lambda d, m: put_item(d, m.Subgraphs(0), 0, "I", 2**31, -1),
        "tensors; at most",
    ),
    "too many operators": (
        lambda d, m: put_item(d, m.Subgraphs(0), 3, "I", 2**31, -1),
        "operators; at most",
    ),
    "too many codes": (lambda d, m: put_item(d, m, 1, "I", 2**31, -1), "kinds of operator"),
    "float64": (
        lambda d, m: put(d, tensor(m, "layer2"), 1, "b", schema.TensorType.FLOAT64),
        "a tensor of type",
    ),
    "wrong dtype of rows": (
        lambda d, m: put(d, tensor(m, "layer2"), 1, "b", schema.TensorType.INT32),
        "one type between",
    ),
    "int8 input": (
        lambda d, m: put_item(d, m.Subgraphs(0), 1, "i", m.Subgraphs(0).Operators(0).Outputs(0)),
        "do not form a chain",
    ),
    "wide tensor": (
        lambda d, m: put_item(d, tensor(m, "layer2"), 0, "i", 100_000, 1),
        "at most 512 by 512",
    ),
    "negative shape": (
        lambda d, m: put_item(d, tensor(m, "layer2"), 0, "i", -4, 1),
        "at most 512 by 512",
    ),
    "another width": (
        lambda d, m: put_item(d, tensor(m, "layer2"), 0, "i", 31, 1),
        "does not fit their layer",
    ),
    "input of another width": (
        lambda d, m: put_item(d, tensor(m, "input"), 0, "i", 7, 1),
        "QUANTIZE changes the width",
    ),
    "a layer skipped": (
        lambda d, m: put_item(d, operator(m, 3), 1, "i", m.Subgraphs(0).Operators(1).Outputs(0)),
        "do not form a chain",
    ),
    "a tensor that is not there": (
        lambda d, m: put_item(d, operator(m, 3), 1, "i", 1000, 1),
        "does not exist",
    ),
    "weights that are rows": (
        lambda d, m: put_item(d, operator(m, 3), 1, "i", m.Subgraphs(0).Inputs(0), 1),
        "a layer without weights",
    ),
    "a buffer that is not there": (
        lambda d, m: put(d, tensor(m, "weights0"), 2, "I", 10_000),
        "a tensor without a buffer",
    ),
    "another buffer's data": (
        lambda d, m: put(d, tensor(m, "weights0"), 2, "I", tensor(m, "bias0").Buffer()),
        "not a readable",
    ),
    "no ReLU": (
        lambda d, m: put(d, options(m), 0, "b", schema.ActivationFunctionType.TANH),
        "options that are not allowed",
    ),
    "another output": (
        lambda d, m: put_item(d, m.Subgraphs(0), 2, "i", 3),
        "do not form a chain",
    ),
    "NaN step": (
        lambda d, m: put_item(d, tensor(m, "weights3").Quantization(), 2, "f", float("nan")),
        "fixed point",
    ),
    "negative step": (
        lambda d, m: put_item(d, tensor(m, "layer3").Quantization(), 2, "f", -0.1),
        "step -0.1",
    ),
    "huge step": (
        lambda d, m: put_item(d, tensor(m, "weights3").Quantization(), 2, "f", 1e30),
        "fixed point",
    ),
    "zero out of range": (
        lambda d, m: put_item(d, tensor(m, "layer3").Quantization(), 3, "q", 2**40),
        "zero 1099511627776",
    ),
    "weights with a zero": (
        lambda d, m: put_item(d, tensor(m, "weights3").Quantization(), 3, "q", 5),
        "must have zero 0",
    ),
    "another sigmoid": (
        lambda d, m: put_item(d, tensor(m, "sigmoid").Quantization(), 2, "f", 0.5),
        "the sigmoid must",
    ),
    "per tensor": (per_tensor, "one step per output channel"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_not_ours_is_refused_in_one_line(case: str) -> None:
    patch, reason = CASES[case]
    data = bytearray(INT8)
    patch(data, schema.Model.GetRootAs(data))
    assert data != INT8
    with pytest.raises(ModelError, match=reason) as caught:
        from_bytes(bytes(data))
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused() -> None:
    data = bytearray(FLOAT)
    model = schema.Model.GetRootAs(data)
    buffer = model.Buffers(tensor(model, "weights0").Buffer())
    put_item(data, buffer, 0, "f", float("inf"))
    with pytest.raises(ModelError, match="not finite"):
        from_bytes(bytes(data))


def test_a_large_file_is_refused_unread() -> None:
    with pytest.raises(ModelError, match="larger than"):
        from_bytes(INT8 + bytes(MAX_MODEL_BYTES))


@pytest.mark.parametrize("file", [INT8, FLOAT], ids=["int8", "float"])
def test_every_truncated_prefix_is_refused(file: bytes) -> None:
    for end in [*range(2000), *range(2000, len(file), 97)]:
        with pytest.raises(ModelError):
            from_bytes(file[:end])


def test_what_lies_behind_the_flatbuffer_is_left_behind() -> None:
    assert to_bytes(from_bytes(INT8 + b"#!/bin/sh\n" * 100)) == INT8


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_mutants_raise_model_error_or_are_networks(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from([INT8, FLOAT]))
    mutant = bytearray(file)
    # tables lie before and after the weights, so aim at both ends more often
    spans = ((0, 6000), (len(file) - 300, len(file) - 5), (0, len(file) - 5))
    places = [st.integers(*span) for span in spans]
    for _ in range(data.draw(st.integers(1, 6))):
        where = data.draw(st.one_of(*places))
        struct.pack_into("<I", mutant, where, data.draw(st.integers(0, 2**32 - 1)))
    check(bytes(mutant))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.booleans())
def test_noise_raises_model_error(noise: bytes, marked: bool) -> None:  # noqa: FBT001 - drawn
    with pytest.raises(ModelError):
        from_bytes(noise[:4] + b"TFL3" + noise[4:] if marked else noise)


def check(mutant: bytes) -> bool:
    """Whether a mutant is accepted. Then it runs, and in int8 no weights can make it overflow."""
    try:
        network = from_bytes(mutant)
    except ModelError:
        return False
    with np.errstate(all="ignore"):
        out = network.forward(np.full((2, network.inputs), 0.5, np.float32))
    assert isinstance(network, Autoencoder) or ((out >= 0.0) & (out <= 1.0)).all()
    return True


RUN_MUTANTS = """
import random, struct, sys
from pathlib import Path
import numpy as np
from mqtt_ids_model import ModelError, open_scorer
file, runtime = Path(sys.argv[1]).read_bytes(), sys.argv[2]
rng = random.Random(3)
accepted = 0
for _ in range(600):
    mutant = bytearray(file)
    for _ in range(rng.randrange(1, 4)):
        mutant[rng.randrange(len(mutant))] = rng.randrange(256)
    try:
        scorer, oracle = open_scorer(bytes(mutant), runtime), open_scorer(bytes(mutant), "numpy")
    except ModelError:
        continue
    rows = np.random.default_rng(0).random((8, scorer.sizes[0]), dtype=np.float32)
    assert np.array_equal(scorer.reconstruct(rows), oracle.reconstruct(rows))
    accepted += 1
print(accepted)
"""


def test_the_runtime_survives_every_mutant_that_is_accepted(tmp_path: Path, runtime: str) -> None:
    (tmp_path / "model.tflite").write_bytes(INT8)
    run = subprocess.run(
        [sys.executable, "-c", RUN_MUTANTS, str(tmp_path / "model.tflite"), runtime],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 100  # most bytes are weights, and other weights are a network too
