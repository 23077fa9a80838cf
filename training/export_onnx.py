"""A trained decoder -> `faceformer.onnx` and its model card.

python -m training.export_onnx work/people.npz src/mdth/weights work/runs/a work/runs/b
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.speech_encoder import SpeechEncoder
from mdth.files import networks
from training import card, command, models
from training.bank import LIVE, SCHEME
from training.measures import NAMES
from training.people import People, Ways

if TYPE_CHECKING:
    from training.network import LipDecoder

log = logging.getLogger("mdth")

# Live each frame has a window of its own: a mean with its neighbours there takes out some noise.
NEAR = 2


def finish(model: Path, basis: FloatArray) -> None:
    """Add the basis [K,1434] to an ONNX file as a second output, and keep large weights as halves.

    onnxruntime casts them back once, when it loads the file.
    """
    import onnx
    from onnx import helper, numpy_helper

    whole = onnx.load(str(model))
    graph = whole.graph
    graph.initializer.append(numpy_helper.from_array(basis, "components"))
    graph.node.append(helper.make_node("Identity", ["components"], ["basis"]))
    shape = helper.make_tensor_value_info("basis", onnx.TensorProto.FLOAT, basis.shape)
    graph.output.append(shape)
    for weights in list(graph.initializer):
        array = numpy_helper.to_array(weights)
        if array.dtype != np.float32 or array.size < 1000:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        cast = helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)
    onnx.checker.check_model(whole)
    onnx.save(whole, str(model))


def load_run(folder: Path) -> tuple["LipDecoder", dict[str, Any]]:
    """The decoder of a training run, and what the run wrote down."""
    notes: dict[str, Any] = json.loads((folder / "scores.json").read_text("utf-8"))
    import torch

    from training.network import DecoderConfig, LipDecoder

    decoder = LipDecoder(DecoderConfig(**notes["config"]))
    weights = torch.load(folder / "decoder.pt", map_location="cpu", weights_only=True)
    decoder.load_state_dict(weights)
    return decoder.float().eval(), notes


def shipped(name: str = "faceformer") -> list["LipDecoder"]:
    """The decoders of a shipped network, its gains in each one's last layer.

    Matrices have no names there, but the order in which they are used.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    from training.network import DecoderConfig, LipDecoder

    _, notes = networks.load(name)
    graph = onnx.load(str(networks.WEIGHTS / f"{name}.onnx")).graph
    arrays = {
        i.name.removesuffix(".half"): torch.tensor(numpy_helper.to_array(i), dtype=torch.float32)
        for i in graph.initializer
    }
    used = [name for node in graph.node if node.op_type == "MatMul" for name in node.input]
    matrices = iter([arrays[name] for name in used if name in arrays])
    decoders = []
    for k, config in enumerate(notes["config"]["decoders"]):
        decoder = LipDecoder(DecoderConfig(**config))
        weights = decoder.state_dict()
        same = {name: arrays.get(f"decoders.0.{name}") for name in weights}  # written once
        named = {name: arrays.get(f"decoders.{k}.{name}", same[name]) for name in weights}
        linear = [name for name, m in decoder.named_modules() if isinstance(m, torch.nn.Linear)]
        named |= {f"{name}.weight": next(matrices).T for name in linear}
        found = {name: weights[name] if w is None else w for name, w in named.items()}
        gain = arrays["gain"] * found["scale"][:, None] / found["scale"]
        found["out.1.weight"] = gain.T @ found["out.1.weight"]
        found["out.1.bias"] = found["out.1.bias"] @ gain
        decoder.load_state_dict(found)
        decoders.append(decoder.eval())
    return decoders


def export(
    people_file: Path, output: Path, runs: list[Path], gains: list[float], *, live: bool = False
) -> Path:
    """Write `faceformer.onnx`, or `faceformer_live.onnx`, and its card; the path of the first.

    gains: of each of `training.measures`, by which what a regression makes too small is widened.
    """
    import torch

    from training.network import MeanDecoder

    loaded = [load_run(run) for run in runs]
    config = loaded[0][0].config
    people = People.load(people_file)
    basis = people.basis.astype(np.float32)
    inputs = config.features + config.mel
    tracked = np.concatenate([clip.coefficients for clip in people.of("train")])
    gain = Ways.of(people.basis, tracked, len(gains)).gain(np.array(gains))
    name, scheme = ("faceformer_live", LIVE) if live else ("faceformer", SCHEME)
    target = output / f"{name}.onnx"
    decoders, silence, near = [d for d, _ in loaded], torch.zeros(len(basis)), NEAR * live
    if live:  # its lips are shut where nothing sounds
        window = SpeechEncoder(models.encoder()).hear(np.zeros(scheme.samples, np.float32))
        says = MeanDecoder(decoders, torch.eye(len(basis)), silence, near=near).eval()
        with torch.no_grad():
            silence = says(torch.from_numpy(window)[None])[0, -LIVE.ahead]
    torch.onnx.export(
        MeanDecoder(decoders, torch.tensor(gain, dtype=torch.float32), silence, near=near).eval(),
        (torch.zeros(1, scheme.frames, inputs),),
        str(target),
        input_names=["heard"],
        output_names=["coefficients"],
        dynamo=False,
    )
    finish(target, basis.reshape(len(basis), -1))
    run = {
        "config": {
            "window_scheme": asdict(scheme),
            "inputs": inputs,
            "decoders": [notes["config"] for _, notes in loaded],
        },
        "gains": dict(zip(NAMES, gains, strict=True)),
        "train": [notes["train"] for _, notes in loaded],
        "held_out": [clip.name for clip in people.of("held")],
    }
    card.write(name, target, run)
    log.info("%s: %d bytes", target, target.stat().st_size)
    return target


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.export_onnx", __doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--gains", type=float, nargs=len(NAMES), default=[1.0] * len(NAMES),
                        metavar="FACTOR", help=f"of {', '.join(NAMES)}")  # fmt: skip
    parser.add_argument("--live", action="store_true", help="the decoder of live sessions")
    given = parser.parse_args(arguments)
    export(given.people, given.output, given.runs, given.gains, live=given.live)


if __name__ == "__main__":
    command.run(main)
