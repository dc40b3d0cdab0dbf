"""The TensorFlow Lite interpreters that may be installed, behind one small class.

Both run here with the built-in kernels and without delegates (XNNPACK). Measured on x86-64: so
they give the very same int8 results as each other and as int8.py, whatever the batch, and print
nothing; with XNNPACK, ai-edge-litert is 3 to 4 times faster (256 rows in 75 us instead of 205),
writes "INFO: Created TensorFlow Lite XNNPACK delegate" to standard error, and its scores differ
from those of tflite-runtime. At less than 1 us a row the kernels are not what takes time.
"""

import importlib
from types import ModuleType

import numpy as np

from mqtt_ids_model.arrays import Floats

AI_EDGE_LITERT = "ai-edge-litert"
TFLITE_RUNTIME = "tflite-runtime"

_MODULES = {
    AI_EDGE_LITERT: "ai_edge_litert.interpreter",
    TFLITE_RUNTIME: "tflite_runtime.interpreter",
}


class RuntimeMissingError(Exception):
    """A runtime is not installed, or not usable as it is; the message says which and why."""


class FixedBatch:
    """One interpreter with its tensors allocated for one number of rows, on one thread."""

    def __init__(self, module: ModuleType, model: bytes, rows: int, inputs: int) -> None:
        """`module` comes from `load`; `model` is a .tflite file that our own writer made.

        Raises RuntimeMissingError where this runtime cannot run it.
        """
        kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = module.Interpreter(
                model_content=model, num_threads=1, experimental_op_resolver_type=kernels
            )
            self._source = self._interpreter.get_input_details()[0]["index"]
            self._result = self._interpreter.get_output_details()[0]["index"]
            self._interpreter.resize_tensor_input(self._source, [rows, inputs])
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise RuntimeMissingError(f"{module.__name__} cannot run the model: {error}") from error

    def run(self, rows: Floats) -> Floats:
        """Exactly as many rows as were allocated, in; a new array of reconstructions, out."""
        self._interpreter.set_tensor(self._source, rows)
        self._interpreter.invoke()
        result: Floats = self._interpreter.get_tensor(self._result)
        return result


def load(name: str) -> ModuleType:
    """The module of a runtime, imported. Raises RuntimeMissingError."""
    if name == TFLITE_RUNTIME and np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        # It would import, complain on standard error, and fail at the first interpreter.
        raise RuntimeMissingError(f"{name} needs numpy below 2, this is {np.__version__}")
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError as error:
        raise RuntimeMissingError(f"{name}: {error}") from error
