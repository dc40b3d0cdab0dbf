"""Networks as .tflite flatbuffers, written with the public schema (PyPI package `tflite`).

Float: FULLY_CONNECTED per layer (ReLU fused), LOGISTIC. Int8: QUANTIZE first and DEQUANTIZE last,
so that both kinds take and give float32 rows. The first dimension of every activation is dynamic
(shape signature -1). Operator versions are the lowest that the kernels accept, because
tflite-runtime 2.14 refuses newer ones: it knows FULLY_CONNECTED up to 11, and multiplies by
per-channel steps from version 4 on, although the schema counts that as 12.
"""

from collections.abc import Callable, Sequence

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import tflite as schema
from numpy.typing import NDArray

from mqtt_ids_model.arrays import Floats
from mqtt_ids_model.autoencoder import Autoencoder
from mqtt_ids_model.int8 import SIGMOID, Affine, Int8Network
from mqtt_ids_model.quantise import quantise

_SCHEMA_VERSION = 3
_ALIGNMENT = 16  # of constant data, as the schema's force_align asks

_Array = NDArray[np.generic]


def to_float(net: Autoencoder) -> bytes:
    """The float32 .tflite of `net`."""
    return to_bytes(net)


def to_int8(net: Autoencoder, calibration: Floats) -> bytes:
    """The int8 .tflite of `net`, ranges taken from calm rows `calibration` (n, inputs)."""
    return to_bytes(quantise(net, calibration))


def to_bytes(network: Autoencoder | Int8Network) -> bytes:
    """The .tflite of a network. The same network gives the same bytes."""
    writer = _Writer()
    if isinstance(network, Int8Network):
        _write_int8(writer, network)
    else:
        _write_float(writer, network)
    return writer.finish()


def _write_float(writer: "_Writer", net: Autoencoder) -> None:
    current = writer.rows("input", net.inputs)
    for number, (weights, bias) in enumerate(net.layers):
        last = number == len(net.layers) - 1
        following = writer.rows(f"layer{number}", len(bias))
        constants = [
            writer.constant(f"weights{number}", weights),
            writer.constant(f"bias{number}", bias),
        ]
        writer.connected([current, *constants], following, version=1, relu=not last)
        current = following
    output = writer.rows("output", net.outputs)
    writer.operator(schema.BuiltinOperator.LOGISTIC, 1, [current], output)


def _write_int8(writer: "_Writer", network: Int8Network) -> None:
    operator = schema.BuiltinOperator
    real = writer.rows("input", network.inputs)
    current = writer.rows("quantised", network.inputs, network.input)
    writer.operator(operator.QUANTIZE, 1, [real], current)
    step = network.input.step
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        following = writer.rows(f"layer{number}", len(layer.bias), layer.output)
        bias_steps = np.float32(step) * layer.steps
        constants = [
            writer.constant(f"weights{number}", layer.weights, layer.steps),
            writer.constant(f"bias{number}", layer.bias, bias_steps),
        ]
        writer.connected([current, *constants], following, version=4, relu=not last)
        current, step = following, layer.output.step
    sigmoid = writer.rows("sigmoid", network.outputs, SIGMOID)
    writer.operator(operator.LOGISTIC, 2, [current], sigmoid)
    output = writer.rows("output", network.outputs)
    writer.operator(operator.DEQUANTIZE, 2, [sigmoid], output)


class _Writer:
    """One subgraph in the making: the first tensor is its input, the last its output."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 16)
        self._buffers = [self._buffer(b"")]  # buffer 0 is empty by convention
        self._tensors: list[int] = []
        self._operators: list[int] = []
        self._codes: list[tuple[int, int]] = []

    def rows(self, name: str, width: int, grid: Affine | None = None) -> int:
        """An activation tensor (any number of rows, width): float32, or int8 on `grid`."""
        kind = schema.TensorType.FLOAT32 if grid is None else schema.TensorType.INT8
        steps = None if grid is None else np.array([grid.step], np.float32)
        zero = 0 if grid is None else grid.zero
        quantisation = self._quantisation(steps, zero)
        return self._tensor(name, (1, width), kind, 0, quantisation, dynamic=True)

    def constant(self, name: str, values: _Array, steps: Floats | None = None) -> int:
        """A constant tensor; `steps` are those of its rows, where it is quantised."""
        kinds = {
            "float32": schema.TensorType.FLOAT32,
            "int8": schema.TensorType.INT8,
            "int32": schema.TensorType.INT32,
        }
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self._buffers.append(self._buffer(little.tobytes()))
        quantisation = self._quantisation(steps, 0)
        kind = kinds[values.dtype.name]
        return self._tensor(name, values.shape, kind, len(self._buffers) - 1, quantisation)

    def connected(self, inputs: Sequence[int], output: int, *, version: int, relu: bool) -> None:
        """A FULLY_CONNECTED operator over [rows, weights, bias]."""
        builder = self._builder
        activation = schema.ActivationFunctionType
        schema.FullyConnectedOptionsStart(builder)
        schema.FullyConnectedOptionsAddFusedActivationFunction(
            builder, activation.RELU if relu else activation.NONE
        )
        options = schema.FullyConnectedOptionsEnd(builder)
        code = schema.BuiltinOperator.FULLY_CONNECTED
        self.operator(code, version, inputs, output, options)

    def operator(
        self, code: int, version: int, inputs: Sequence[int], output: int, options: int = 0
    ) -> None:
        """An operator from some tensors to one."""
        if (code, version) not in self._codes:
            self._codes.append((code, version))
        builder = self._builder
        sources = self._vector(np.array(inputs, np.int32))
        results = self._vector(np.array([output], np.int32))
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, self._codes.index((code, version)))
        schema.OperatorAddInputs(builder, sources)
        schema.OperatorAddOutputs(builder, results)
        if options:
            kind = schema.BuiltinOptions.FullyConnectedOptions
            schema.OperatorAddBuiltinOptionsType(builder, kind)
            schema.OperatorAddBuiltinOptions(builder, options)
        self._operators.append(schema.OperatorEnd(builder))

    def finish(self) -> bytes:
        """The whole file."""
        builder = self._builder
        subgraphs = self._tables(schema.ModelStartSubgraphsVector, [self._subgraph()])
        codes = self._tables(
            schema.ModelStartOperatorCodesVector, [self._code(*code) for code in self._codes]
        )
        buffers = self._tables(schema.ModelStartBuffersVector, self._buffers)
        description = builder.CreateString("mqtt-ids autoencoder")
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, _SCHEMA_VERSION)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddDescription(builder, description)
        schema.ModelAddBuffers(builder, buffers)
        builder.Finish(schema.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _subgraph(self) -> int:
        builder = self._builder
        tensors = self._tables(schema.SubGraphStartTensorsVector, self._tensors)
        operators = self._tables(schema.SubGraphStartOperatorsVector, self._operators)
        inputs = self._vector(np.array([0], np.int32))
        outputs = self._vector(np.array([len(self._tensors) - 1], np.int32))
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators)
        return int(schema.SubGraphEnd(builder))

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int,
        buffer: int,
        quantisation: int | None,
        *,
        dynamic: bool = False,
    ) -> int:
        builder = self._builder
        label = builder.CreateString(name)
        sizes = self._vector(np.array(shape, np.int32))
        signature = self._vector(np.array((-1, *shape[1:]), np.int32)) if dynamic else None
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, sizes)
        schema.TensorAddType(builder, kind)
        schema.TensorAddBuffer(builder, buffer)
        schema.TensorAddName(builder, label)
        if quantisation is not None:
            schema.TensorAddQuantization(builder, quantisation)
        if signature is not None:
            schema.TensorAddShapeSignature(builder, signature)
        self._tensors.append(schema.TensorEnd(builder))
        return len(self._tensors) - 1

    def _quantisation(self, steps: Floats | None, zero: int) -> int | None:
        if steps is None:
            return None
        builder = self._builder
        scales = self._vector(steps)
        zeros = self._vector(np.full(len(steps), zero, np.int64))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scales)
        schema.QuantizationParametersAddZeroPoint(builder, zeros)
        return int(schema.QuantizationParametersEnd(builder))

    def _code(self, code: int, version: int) -> int:
        builder = self._builder
        schema.OperatorCodeStart(builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
        schema.OperatorCodeAddBuiltinCode(builder, code)
        schema.OperatorCodeAddVersion(builder, version)
        return int(schema.OperatorCodeEnd(builder))

    def _buffer(self, data: bytes) -> int:
        builder = self._builder
        vector = None
        if data:
            builder.Prep(_ALIGNMENT, len(data))
            vector = builder.CreateByteVector(data)
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))

    def _vector(self, values: _Array) -> int:
        return int(self._builder.CreateNumpyVector(values))

    def _tables(self, start: Callable[..., int], tables: Sequence[int]) -> int:
        start(self._builder, len(tables))
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return int(self._builder.EndVector())
