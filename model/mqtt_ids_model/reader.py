""".tflite flatbuffers as networks: what is not exactly a network of ours is refused.

A model file is a program, and crafted ones crash the runtimes. So nothing from a file reaches a
runtime: the file is taken apart here into plain weights and steps, each one checked, and the
scorer gives the runtime what tflite.py writes from those. Extra tables, odd offsets, metadata and
whatever else may hide in a file are left behind.

Accepted: one subgraph, a chain of [QUANTIZE] FULLY_CONNECTED... LOGISTIC [DEQUANTIZE], ReLU
inside, two-dimensional activations, per-channel int8 weights with zero 0.
"""

import itertools
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import tflite as schema
from numpy.typing import NDArray

from mqtt_ids_model.arrays import Floats
from mqtt_ids_model.autoencoder import MAX_LAYERS, MAX_WIDTH, Autoencoder
from mqtt_ids_model.errors import ModelError
from mqtt_ids_model.int8 import SIGMOID, Affine, Int8Layer, Int8Network

MAX_MODEL_BYTES = 1_000_000  # the paper's network with 512 inputs and outputs needs 0.6 MB

_MAX_TENSORS = 3 * MAX_LAYERS + 4
_LAYER_INPUTS = 3  # rows, weights, bias
_ROWS_AND_COLUMNS = 2
_FLOAT32, _INT32, _INT8 = np.dtype("<f4"), np.dtype("<i4"), np.dtype("i1")
_TYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: _FLOAT32,
    schema.TensorType.INT32: _INT32,
    schema.TensorType.INT8: _INT8,
}
_OPERATORS = {
    schema.BuiltinOperator.FULLY_CONNECTED: "FULLY_CONNECTED",
    schema.BuiltinOperator.LOGISTIC: "LOGISTIC",
    schema.BuiltinOperator.QUANTIZE: "QUANTIZE",
    schema.BuiltinOperator.DEQUANTIZE: "DEQUANTIZE",
}


def from_bytes(data: bytes) -> Autoencoder | Int8Network:
    """The network in the bytes of a .tflite file.

    Raises ModelError, and nothing else, whatever the bytes are; takes bounded time and memory.
    A float network may have weights so large that its outputs are not numbers: its golden
    vectors will tell.
    """
    if len(data) > MAX_MODEL_BYTES:
        _refuse(f"larger than {MAX_MODEL_BYTES} bytes")
    try:
        return _network(_graph(data))
    except (
        struct.error,
        ValueError,
        TypeError,  # how flatbuffers reports an offset beyond its type
        IndexError,
        AttributeError,  # a table that is not there
        OverflowError,
    ) as error:
        raise ModelError("model: not a readable .tflite file") from error


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    """`values` is None for activations. `steps` and `zeros` are None where not quantised."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    values: NDArray[Any] | None
    steps: Floats | None
    zeros: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class _Operator:
    name: str
    inputs: tuple[int, ...]
    output: int
    relu: bool


@dataclass(frozen=True, slots=True)
class _Graph:
    tensors: list[_Tensor]
    operators: list[_Operator]
    source: int
    result: int


def _graph(data: bytes) -> _Graph:
    """Everything of the file that a network is made of, still unchecked against one another."""
    if data[4:8] != b"TFL3":
        _refuse("not a .tflite file")
    model = schema.Model.GetRootAs(data)
    if model.SubgraphsLength() != 1:
        _refuse(f"{model.SubgraphsLength()} subgraphs; exactly one is allowed")
    subgraph = model.Subgraphs(0)
    if not 0 < subgraph.TensorsLength() <= _MAX_TENSORS:
        _refuse(f"{subgraph.TensorsLength()} tensors; at most {_MAX_TENSORS} are allowed")
    if not 0 < subgraph.OperatorsLength() <= MAX_LAYERS + 3:
        _refuse(f"{subgraph.OperatorsLength()} operators; at most {MAX_LAYERS + 3} are allowed")
    codes = _codes(model)
    (source,) = subgraph.InputsAsNumpy().tolist()
    (result,) = subgraph.OutputsAsNumpy().tolist()
    return _Graph(
        [_tensor(model, subgraph.Tensors(i)) for i in range(subgraph.TensorsLength())],
        [_operator(subgraph.Operators(i), codes) for i in range(subgraph.OperatorsLength())],
        source,
        result,
    )


def _codes(model: schema.Model) -> list[str]:
    """The names of the operators that the file declares."""
    if model.OperatorCodesLength() > len(_OPERATORS):
        _refuse(f"{model.OperatorCodesLength()} kinds of operator")
    names = []
    for number in range(model.OperatorCodesLength()):
        entry = model.OperatorCodes(number)
        # Old files fill only the deprecated field, which is one byte.
        code = max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())
        if code not in _OPERATORS:
            _refuse(f"operator {schema.BUILTIN_OPCODE2NAME.get(code, code)} is not allowed")
        names.append(_OPERATORS[code])
    return names


def _operator(table: schema.Operator, codes: list[str]) -> _Operator:
    name = codes[table.OpcodeIndex()]
    (output,) = table.OutputsAsNumpy().tolist()
    inputs = tuple(table.InputsAsNumpy()[: _LAYER_INPUTS + 1].tolist())
    relu = False
    if name == "FULLY_CONNECTED":
        if table.BuiltinOptionsType() != schema.BuiltinOptions.FullyConnectedOptions:
            _refuse("FULLY_CONNECTED without its options")
        options = schema.FullyConnectedOptions()
        options.Init(table.BuiltinOptions().Bytes, table.BuiltinOptions().Pos)
        activation = options.FusedActivationFunction()
        relu = activation == schema.ActivationFunctionType.RELU
        plain = not options.WeightsFormat() and not options.KeepNumDims()
        if not plain or (not relu and activation != schema.ActivationFunctionType.NONE):
            _refuse("FULLY_CONNECTED with options that are not allowed")
    return _Operator(name, inputs, output, relu)


def _tensor(model: schema.Model, table: schema.Tensor) -> _Tensor:
    dtype = _TYPES.get(table.Type())
    if dtype is None:
        _refuse(f"a tensor of type {table.Type()}; float32, int32 and int8 are allowed")
    shape = tuple(table.ShapeAsNumpy()[: _ROWS_AND_COLUMNS + 1].tolist())
    ranked = 1 <= len(shape) <= _ROWS_AND_COLUMNS
    if not ranked or not all(1 <= size <= MAX_WIDTH for size in shape):
        _refuse(f"a tensor of shape {shape}; at most {MAX_WIDTH} by {MAX_WIDTH} is allowed")
    if table.Buffer() >= model.BuffersLength():
        _refuse("a tensor without a buffer")
    buffer = model.Buffers(table.Buffer())
    values = None
    if not buffer.DataIsNone() and buffer.DataLength():
        values = buffer.DataAsNumpy().view(dtype).reshape(shape)
    return _Tensor(shape, dtype, values, *_quantisation(table.Quantization()))


def _quantisation(
    table: schema.QuantizationParameters | None,
) -> tuple[Floats, NDArray[np.int64]] | tuple[None, None]:
    """Steps and zeros of a tensor, or None twice where it has none."""
    if table is None or table.ScaleIsNone():
        return None, None
    steps, zeros = table.ScaleAsNumpy(), table.ZeroPointAsNumpy()
    if table.QuantizedDimension() != 0 or steps.shape != zeros.shape:
        _refuse("quantisation that is not per row or per tensor")
    return steps, zeros


def _network(graph: _Graph) -> Autoencoder | Int8Network:
    """Check the chain of operators and turn its constants into a network."""
    names = [operator.name for operator in graph.operators]
    int8 = names[0] == "QUANTIZE"
    layers = len(names) - (3 if int8 else 1)
    wanted = ["FULLY_CONNECTED"] * layers + ["LOGISTIC"]
    if int8:
        wanted = ["QUANTIZE", *wanted, "DEQUANTIZE"]
    if layers < 1 or names != wanted:
        _refuse(f"operators {' '.join(names)}; a chain of fully connected layers is needed")
    _check_chain(graph)
    connected = graph.operators[1:-2] if int8 else graph.operators[:-1]
    if [operator.relu for operator in connected] != [True] * (layers - 1) + [False]:
        _refuse("ReLU belongs after each layer but the last")
    try:
        return _int8_network(graph, connected) if int8 else _float_network(graph, connected)
    except ValueError as error:
        raise ModelError(f"model: {error}") from error


def _check_chain(graph: _Graph) -> None:
    """Each operator reads what the one before wrote; rows of the right width and type."""
    rows = [graph.source, *(operator.output for operator in graph.operators)]
    if rows[-1] != graph.result or len(set(rows)) != len(rows):
        _refuse("the operators do not form a chain from input to output")
    for before, operator in zip(rows, graph.operators, strict=False):
        count = _LAYER_INPUTS if operator.name == "FULLY_CONNECTED" else 1
        if operator.inputs[:1] != (before,) or len(operator.inputs) != count:
            _refuse("the operators do not form a chain from input to output")
    if not all(0 <= number < len(graph.tensors) for number in rows):
        _refuse("a tensor that does not exist")
    tensors = [graph.tensors[number] for number in rows]
    inside = _INT8 if graph.operators[0].name == "QUANTIZE" else _FLOAT32
    dtypes = [_FLOAT32, *[inside] * (len(rows) - 2), _FLOAT32]
    if [tensor.dtype for tensor in tensors] != dtypes:
        _refuse("input and output must be float32, and one type between")
    if any(
        tensor.values is not None or len(tensor.shape) != _ROWS_AND_COLUMNS for tensor in tensors
    ):
        _refuse("activations must be rows without data")
    for operator, (one, two) in zip(graph.operators, itertools.pairwise(tensors), strict=True):
        if operator.name != "FULLY_CONNECTED" and one.shape[1] != two.shape[1]:
            _refuse(f"{operator.name} changes the width of a row")


def _float_network(graph: _Graph, connected: list[_Operator]) -> Autoencoder:
    layers = []
    for operator in connected:
        weights, bias, _ = _constants(graph, operator, _FLOAT32, _FLOAT32)
        layers.append((weights, bias))
    return Autoencoder(layers)


def _int8_network(graph: _Graph, connected: list[_Operator]) -> Int8Network:
    if _grid(graph, graph.operators[-2].output) != SIGMOID:
        _refuse("the sigmoid must have step 1/256 and zero -128")
    layers = []
    for operator in connected:
        weights, bias, tensor = _constants(graph, operator, _INT8, _INT32)
        if tensor.steps is None or tensor.zeros is None or tensor.steps.shape != bias.shape:
            _refuse("int8 weights must have one step per output channel")
        if tensor.zeros.any():
            _refuse("int8 weights must have zero 0")
        layers.append(Int8Layer(weights, tensor.steps, bias, _grid(graph, operator.output)))
    return Int8Network(_grid(graph, graph.operators[0].output), layers)


def _constants(
    graph: _Graph, operator: _Operator, *dtypes: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any], _Tensor]:
    """Weights (out, in) and bias (out,) of a layer, of these types, and the weights' tensor."""
    if not all(0 <= number < len(graph.tensors) for number in operator.inputs):
        _refuse("a tensor that does not exist")
    before, weights, bias = (graph.tensors[number] for number in operator.inputs)
    width = graph.tensors[operator.output].shape[1]
    if weights.values is None or bias.values is None:
        _refuse("a layer without weights")
    if (weights.dtype, bias.dtype) != dtypes:
        _refuse(f"weights {weights.dtype} and bias {bias.dtype} where {dtypes} are needed")
    if weights.shape != (width, before.shape[1]) or bias.shape != (width,):
        _refuse("weights of a shape that does not fit their layer")
    return weights.values, bias.values, weights


def _grid(graph: _Graph, number: int) -> Affine:
    tensor = graph.tensors[number]
    if tensor.steps is None or tensor.zeros is None or len(tensor.steps) != 1:
        _refuse("an int8 activation must have one step and one zero")
    return Affine(float(tensor.steps[0]), int(tensor.zeros[0]))


def _refuse(what: str) -> NoReturn:
    raise ModelError(f"model: {what}")
