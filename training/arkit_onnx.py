"""MediaPipe's network of ARKit blendshapes as `arkit.onnx`, with its card.

    python -m training.arkit_onnx face_landmarker.task PICTURES src/mdth/weights

Translates `face_blendshapes.tflite` (an MLP-Mixer of 1x1 convolutions) in the task operator by
operator, and writes it only if it gives FaceLandmarker's own weights for the faces in the pictures.
"""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError, InputError
from mdth.files import networks
from mdth.media.image import read_image
from mdth.mesh.arkit import SHAPES
from training import card, command

log = logging.getLogger("mdth")

Array = npt.NDArray[Any]

OPSET = 17
NUMBER_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}

MOST_DIFFERENT = 1e-4
# The vertices the network looks at (MediaPipe, face_blendshapes_graph).
SEEN = np.array(
    "0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 "
    "87 88 91 93 95 103 105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 "
    "158 159 160 161 162 163 168 172 173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 "
    "270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321 323 324 "
    "332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 "
    "390 397 398 400 402 405 409 415 454 466 468 469 470 471 472 473 474 475 476 477".split(),
    np.int64,
)
# Its outputs, in order; the first is no shape, and TongueOut is none of them.
GIVEN = (
    "_neutral BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff "
    "CheekSquintLeft CheekSquintRight EyeBlinkLeft EyeBlinkRight EyeLookDownLeft EyeLookDownRight "
    "EyeLookInLeft EyeLookInRight EyeLookOutLeft EyeLookOutRight EyeLookUpLeft EyeLookUpRight "
    "EyeSquintLeft EyeSquintRight EyeWideLeft EyeWideRight JawForward JawLeft JawOpen JawRight "
    "MouthClose MouthDimpleLeft MouthDimpleRight MouthFrownLeft MouthFrownRight MouthFunnel "
    "MouthLeft MouthLowerDownLeft MouthLowerDownRight MouthPressLeft MouthPressRight MouthPucker "
    "MouthRight MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthSmileLeft "
    "MouthSmileRight MouthStretchLeft MouthStretchRight MouthUpperUpLeft MouthUpperUpRight "
    "NoseSneerLeft NoseSneerRight"
).split()


class Network:
    """A TensorFlow Lite network, operator by operator as an ONNX graph that takes any batch."""

    def __init__(self, content: bytes) -> None:
        from mediapipe.tasks.metadata import schema_py_generated as schema

        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        (self.source,) = model.subgraphs
        known = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        self.operators = [known[code.builtinCode] for code in model.operatorCodes]
        self.constants: dict[int, Array] = {}
        for place, tensor in enumerate(self.source.tensors):
            stored = model.buffers[tensor.buffer].data
            if stored is not None:
                flat = np.frombuffer(bytes(stored), NUMBER_TYPES[tensor.type])
                self.constants[place] = flat.reshape(() if tensor.shape is None else tensor.shape)
        self.names: dict[int, str] = {}
        self.nodes: list[Any] = []
        self.stored: list[Any] = []

    def translate(self) -> bytes:
        """The ONNX file: `faces` float32 [T,478,2] -> `weights` [T,52] in the order of SHAPES."""
        (start,), (end,) = self.source.inputs, self.source.outputs
        self.names[start] = self.add("Gather", "faces", self.store(SEEN), axis=1)
        for step in self.source.operators:
            name, (made,) = self.operators[step.opcodeIndex], step.outputs
            if name == "DEQUANTIZE":
                self.constants[made] = self.constants[step.inputs[0]]
            else:
                self.names[made] = TRANSLATED[name](self, step.builtinOptions, *step.inputs)
        # TongueOut, which the network does not know, is the 0 after its last output.
        padded = self.add("Pad", self.names[end], self.store(np.array([0, 0, 0, 1])))
        order = [GIVEN.index(name) if name in GIVEN else len(GIVEN) for name in SHAPES]
        self.add("Gather", padded, self.store(np.array(order)), axis=1, name="weights")
        return self._file()

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """The name of what an operator of ONNX gives."""
        from onnx import helper

        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def store(self, array: Array) -> str:
        """The name of an array; halves stay halves in the file and become floats when it is run."""
        from onnx import TensorProto, numpy_helper

        name = f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if array.dtype == np.float16 else name

    def value(self, place: int) -> str:
        """The name of a tensor."""
        if place not in self.names:
            self.names[place] = self.store(self.constants[place])
        return self.names[place]

    def numbers(self, place: int) -> list[int]:
        """A constant's whole numbers."""
        return [int(number) for number in self.constants[place].ravel()]

    def _file(self) -> bytes:
        from onnx import TensorProto, checker, helper

        shapes: dict[str, list[str | int | None]] = {
            "faces": ["T", 478, 2],
            "weights": ["T", len(SHAPES)],
        }
        faces, weights = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        )
        graph = helper.make_graph(self.nodes, "arkit", [faces], [weights], self.stored)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content


def _plain(operator: str) -> Callable[..., str]:
    """The same operator of ONNX."""

    def translate(network: Network, options: Any, *places: int) -> str:
        if getattr(options, "fusedActivationFunction", 0):
            raise InputError(f"{operator} with an activation, which nothing here translates")
        return network.add(operator, *map(network.value, places))

    return translate


def _mean(network: Network, _: Any, x: int, axes: int) -> str:
    return network.add("ReduceMean", network.value(x), axes=network.numbers(axes), keepdims=1)


def _sum(network: Network, _: Any, x: int, axes: int) -> str:
    along = network.store(np.array(network.numbers(axes)))
    return network.add("ReduceSum", network.value(x), along, keepdims=1)


def _squared_difference(network: Network, _: Any, a: int, b: int) -> str:
    difference = network.add("Sub", network.value(a), network.value(b))
    return network.add("Mul", difference, difference)


def _inverse_root(network: Network, _: Any, x: int) -> str:
    return network.add("Reciprocal", network.add("Sqrt", network.value(x)))


def _transpose(network: Network, _: Any, x: int, axes: int) -> str:
    return network.add("Transpose", network.value(x), perm=network.numbers(axes))


def _reshape(network: Network, _: Any, x: int, shape: int) -> str:
    # 0: as it is, which is the batch.
    wanted = network.store(np.array([0, *network.numbers(shape)[1:]]))
    return network.add("Reshape", network.value(x), wanted)


def _slice(network: Network, options: Any, x: int, begin: int, end: int, step: int) -> str:
    """A part along the axes that the masks do not leave whole; the batch stays as it is."""
    axes = [a for a in range(1, len(network.numbers(begin))) if not options.endMask >> a & 1]
    if not axes:
        return network.value(x)
    parts = ([network.numbers(place)[axis] for axis in axes] for place in (begin, end))
    starts, ends = (network.store(np.array(part)) for part in parts)
    steps = network.store(np.array([network.numbers(step)[axis] for axis in axes]))
    return network.add(
        "Slice", network.value(x), starts, ends, network.store(np.array(axes)), steps
    )


def _concatenation(network: Network, options: Any, constant: int, x: int) -> str:
    """A constant beside what the network has made, for each of the batch."""
    batch = network.add("Shape", network.value(x), start=0, end=1)
    rest = network.store(np.array(network.constants[constant].shape[1:]))
    wanted = network.add("Concat", batch, rest, axis=0)
    repeated = network.add("Expand", network.value(constant), wanted)
    return network.add("Concat", repeated, network.value(x), axis=options.axis)


def _convolution(network: Network, options: Any, x: int, kernel: int, bias: int) -> str:
    weights = network.constants[kernel]
    if weights.shape[1:3] != (1, 1) or options.fusedActivationFunction not in (0, 1):
        raise InputError(f"a convolution {weights.shape}, which nothing here translates")
    product = network.add("MatMul", network.value(x), network.store(weights[:, 0, 0].T))
    mixed = network.add("Add", product, network.value(bias))
    return network.add("Relu", mixed) if options.fusedActivationFunction else mixed


TRANSLATED: dict[str, Callable[..., str]] = {
    "ADD": _plain("Add"),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DIV": _plain("Div"),
    "LOGISTIC": _plain("Sigmoid"),
    "MEAN": _mean,
    "MUL": _plain("Mul"),
    "NEG": _plain("Neg"),
    "RESHAPE": _reshape,
    "RSQRT": _inverse_root,
    "SQRT": _plain("Sqrt"),
    "SQUARED_DIFFERENCE": _squared_difference,
    "STRIDED_SLICE": _slice,
    "SUB": _plain("Sub"),
    "SUM": _sum,
    "TRANSPOSE": _transpose,
}


def compare(model: bytes, task: Path, pictures: Path) -> Iterator[Array]:
    """How far the weights [52] are from FaceLandmarker's, for each picture with a face."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    session = networks.session(model)
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task)), output_face_blendshapes=True
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for path in command.files_in(pictures, "**/*.jpg"):
            picture = read_image(path)
            found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture))
            if not found.face_landmarks:
                continue
            height, width = picture.shape[:2]
            face = [(point.x * width, point.y * height) for point in found.face_landmarks[0]]
            (ours,) = session.run(None, {"faces": np.array([face], np.float32)})[0]
            scores = {s.category_name.lower(): s.score for s in found.face_blendshapes[0]}
            yield np.abs(ours - [scores.get(name.lower(), 0) for name in SHAPES])


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.arkit_onnx", __doc__)
    parser.add_argument("task", type=Path, help="MediaPipe's face_landmarker.task")
    parser.add_argument("pictures", type=Path, help="folder of .jpg with faces")
    parser.add_argument("output", type=Path, help="folder for arkit.onnx and arkit.json")
    given = parser.parse_args(arguments)
    try:
        with zipfile.ZipFile(given.task) as bundle:
            model = Network(bundle.read("face_blendshapes.tflite")).translate()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{given.task}: no blendshape network ({error})") from error
    apart = np.array(list(compare(model, given.task, given.pictures)))
    if not len(apart) or apart.max() > MOST_DIFFERENT:
        raise InputError(f"{len(apart)} faces, weights {apart.max(initial=0):.1e} apart at most")
    target = given.output / "arkit.onnx"
    target.write_bytes(model)
    scores = {
        "faces": len(apart),
        "largest difference to FaceLandmarker's weights": float(f"{apart.max():.2g}"),
        "mean difference": float(f"{apart.mean():.2g}"),
    }
    task = hashlib.sha256(given.task.read_bytes()).hexdigest()
    card.write("arkit", target, {"task sha256": task, "scores": scores})
    log.info("%s", json.dumps(scores, indent=1))


if __name__ == "__main__":
    command.run(main)
