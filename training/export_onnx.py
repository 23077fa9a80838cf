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
from training import card, command, models
from training.bank import LIVE, SCHEME
from training.measures import NAMES
from training.people import People, Ways

if TYPE_CHECKING:
    from training.network import LipDecoder

log = logging.getLogger("mdth")


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
    decoders, silence = [d for d, _ in loaded], torch.zeros(len(basis))
    if live:  # its lips are shut where nothing sounds
        window = SpeechEncoder(models.encoder()).hear(np.zeros(scheme.samples, np.float32))
        heard = torch.from_numpy(window)[None]
        with torch.no_grad():
            silence = torch.stack([d(heard)[0, -LIVE.ahead] for d in decoders]).mean(dim=0)
    torch.onnx.export(
        MeanDecoder(decoders, torch.tensor(gain, dtype=torch.float32), silence).eval(),
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
    """Command line."""
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
