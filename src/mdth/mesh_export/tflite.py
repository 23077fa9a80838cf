"""Run a small TensorFlow Lite network in numpy, many inputs at once.

Only the operators of MediaPipe's `face_blendshapes.tflite` (an MLP-Mixer of 1x1 convolutions); any
other raises CheckpointError. The first axis of every activation is the batch, which the file has
as 1. Field numbers are those of TensorFlow Lite's schema, version 3.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError
from mdth.mesh_export.flatbuffer import Table

Array = npt.NDArray[Any]

_NUMBER_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
_OPERATORS = {
    0: "add",
    2: "concatenation",
    3: "convolution",
    6: "dequantize",
    14: "logistic",
    18: "multiply",
    22: "reshape",
    39: "transpose",
    40: "mean",
    41: "subtract",
    42: "divide",
    45: "strided_slice",
    59: "negate",
    74: "sum",
    75: "square_root",
    76: "inverse_root",
    99: "squared_difference",
}
# Where an operator's options keep its fused activation: none, or ReLU after a convolution.
_RELU = 1
_FUSED = {"add": 0, "concatenation": 1, "convolution": 3, "multiply": 0, "subtract": 0, "divide": 0}


class Network:
    """A network of one input and one output."""

    def __init__(self, model: bytes) -> None:
        """Read the graph and its weights. Raises CheckpointError."""
        try:
            self._read(Table.root(model))
        except (struct.error, IndexError, KeyError, ValueError) as error:
            raise CheckpointError(f"no TensorFlow Lite network we can run ({error})") from error

    def _read(self, model: Table) -> None:
        codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
        (graph,) = model.tables(2)
        buffers = model.tables(4)
        self._constants: dict[int, Array] = {}
        for place, tensor in enumerate(graph.tables(0)):
            content = buffers[tensor.number(2, "I")].content(0)
            if content:
                flat = np.frombuffer(content, _NUMBER_TYPES[tensor.number(1, "b")])
                self._constants[place] = flat.reshape(tensor.numbers(0))
        (self._input,), (self._output,) = graph.numbers(1), graph.numbers(2)
        self._steps: list[tuple[Callable[..., Array], Table | None, list[int], int]] = []
        for operator in graph.tables(3):
            name = _OPERATORS[codes[operator.number(0, "I")]]
            options = operator.table(4)
            fused = options.number(_FUSED[name], "b") if options and name in _FUSED else 0
            if fused > (_RELU if name == "convolution" else 0):
                raise ValueError(f"{name} with activation {fused}")
            self._steps.append(
                (_ACTIONS[name], options, operator.numbers(1), operator.numbers(2)[0])
            )

    def run(self, inputs: Array) -> Array:
        """Outputs [T,...] for inputs [T,...] float32."""
        values: dict[int, Array] = {**self._constants, self._input: inputs.astype(np.float32)}
        for action, options, sources, target in self._steps:
            values[target] = action(options, *(values[source] for source in sources))
        return values[self._output]


def _mean(options: Table | None, x: Array, axes: Array) -> Array:
    mean: Array = x.mean(axis=tuple(axes.ravel()), keepdims=_keeps(options))
    return mean


def _sum(options: Table | None, x: Array, axes: Array) -> Array:
    total: Array = x.sum(axis=tuple(axes.ravel()), keepdims=_keeps(options))
    return total


def _keeps(options: Table | None) -> bool:
    return bool(options and options.number(0, "b"))


def _convolution(options: Table | None, x: Array, kernel: Array, bias: Array) -> Array:
    if kernel.shape[1:3] != (1, 1):
        raise CheckpointError(f"a convolution {kernel.shape}; only 1x1 is known")
    # As one product of two matrices it is ten times faster than axis by axis.
    flat = x.reshape(-1, x.shape[-1]) @ kernel[:, 0, 0].T
    mixed: Array = (flat + bias).reshape(*x.shape[:-1], -1)
    if options and options.number(_FUSED["convolution"], "b") == _RELU:
        np.maximum(mixed, 0, out=mixed)
    return mixed


def _concatenation(options: Table | None, *parts: Array) -> Array:
    batch = max(len(part) for part in parts)
    # A constant part has a batch of 1.
    same = [np.broadcast_to(part, (batch, *part.shape[1:])) for part in parts]
    return np.concatenate(same, axis=options.number(0, "i") if options else 0)


def _reshape(_: Table | None, x: Array, shape: Array) -> Array:
    return x.reshape(len(x), *shape.ravel()[1:])


def _strided_slice(options: Table | None, x: Array, begin: Array, end: Array, step: Array) -> Array:
    begins, ends = (options.number(n, "i") if options else 0 for n in (0, 1))
    # The batch is never cut, and stays where the file drops it.
    cuts = [slice(None)] + [
        slice(
            None if begins >> axis & 1 else int(begin[axis]),
            None if ends >> axis & 1 else int(end[axis]),
            int(step[axis]),
        )
        for axis in range(1, x.ndim)
    ]
    cut: Array = x[tuple(cuts)]
    return cut


_ACTIONS: dict[str, Callable[..., Array]] = {
    "add": lambda _, a, b: a + b,
    "concatenation": _concatenation,
    "convolution": _convolution,
    "dequantize": lambda _, x: x.astype(np.float32),
    "logistic": lambda _, x: 1 / (1 + np.exp(-x)),
    "multiply": lambda _, a, b: a * b,
    "reshape": _reshape,
    "transpose": lambda _, x, axes: x.transpose(axes),
    "mean": _mean,
    "subtract": lambda _, a, b: a - b,
    "divide": lambda _, a, b: a / b,
    "strided_slice": _strided_slice,
    "negate": lambda _, x: -x,
    "sum": _sum,
    "square_root": lambda _, x: np.sqrt(x),
    "inverse_root": lambda _, x: 1 / np.sqrt(x),
    "squared_difference": lambda _, a, b: np.square(a - b),
}
