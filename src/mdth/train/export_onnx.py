"""A trained decoder -> `faceformer.onnx` and its model card.

python -m mdth.train.export_onnx work/runs/conv work/dataset/s1 src/mdth/weights
"""

import argparse
import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mdth.train.bank import SCHEME
from mdth.train.dataset import Faces
from mdth.train.network import DecoderConfig, LipDecoder

log = logging.getLogger("mdth")

FloatArray = npt.NDArray[np.floating]

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
    ],
    "encoder": "Moonshine tiny English, encoder (Useful Sensors, MIT), frozen, not included",
    "commands": [
        "python -m mdth.train.tracks ../shared/data/grid/s1 work/tracks/s1",
        "python -m mdth.train.dataset ../shared/data/grid/s1 work/tracks/s1 work/dataset/s1 "
        "--words ../shared/data/grid/s1_words.tsv",
        "python -m mdth.train.dataset ../shared/data/grid/others work/tracks/others "
        "work/dataset/others --person-per-clip --basis work/dataset/s1",
        "python -m mdth.train.bank work/dataset/s1 work/bank/s1.npz --held-out",
        "python -m mdth.train.bank work/dataset/others work/bank/others.npz",
        "python -m mdth.train.features work/dataset/s1 work/windows --sessions 600",
        "python -m mdth.train.faceformer work/dataset/s1 work/windows work/runs/conv "
        "--bank s1=work/dataset/s1,work/bank/s1.npz "
        "--bank others=work/dataset/others,work/bank/others.npz",
        "python -m mdth.train.export_onnx work/runs/conv work/dataset/s1 src/mdth/weights",
    ],
}


def add_basis(model: Path, basis: FloatArray) -> None:
    """Put the basis [K,1434] into an ONNX file as a second output."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load(str(model))
    graph.graph.initializer.append(numpy_helper.from_array(basis, "components"))
    graph.graph.node.append(helper.make_node("Identity", ["components"], ["basis"]))
    shape = helper.make_tensor_value_info("basis", onnx.TensorProto.FLOAT, basis.shape)
    graph.graph.output.append(shape)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(model))


def load_run(folder: Path) -> tuple[LipDecoder, dict[str, Any]]:
    """The decoder of a training run, and what the run wrote down."""
    notes: dict[str, Any] = json.loads((folder / "scores.json").read_text("utf-8"))
    decoder = LipDecoder(DecoderConfig(**notes["config"]))
    weights = torch.load(folder / "decoder.pt", map_location="cpu", weights_only=True)
    decoder.load_state_dict(weights)
    return decoder.float().eval(), notes


def scores_of(run: Path) -> dict[str, Any]:
    """What a training run scored."""
    scores: dict[str, Any] = json.loads((run / "scores.json").read_text("utf-8"))["scores"]
    return scores


def export(run: Path, dataset: Path, output: Path, variants: dict[str, Path]) -> Path:
    """Write `faceformer.onnx` and `faceformer.json`; the path of the first."""
    decoder, notes = load_run(run)
    faces = Faces.load(dataset)
    basis = faces.basis.astype(np.float32)
    inputs = decoder.config.features + decoder.config.mel
    target = output / "faceformer.onnx"
    torch.onnx.export(
        decoder,
        (torch.zeros(1, SCHEME.frames, inputs),),
        str(target),
        input_names=["heard"],
        output_names=["coefficients"],
        dynamo=False,
    )
    add_basis(target, basis.reshape(len(basis), -1))
    scheme = asdict(SCHEME)
    card = {
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "bytes": target.stat().st_size,
        **ABOUT,
        "config": {"window_scheme": scheme, "inputs": inputs, "decoder": notes["config"]},
        "train": notes["train"],
        "scores": scores_of(run),
        "variants": {label: scores_of(folder) for label, folder in variants.items()},
        "held_out": faces.names[faces.held_out].tolist(),
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    log.info("%s: %d bytes", target, card["bytes"])
    return target


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m mdth.train.export_onnx", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--variant", action="append", default=[], metavar="LABEL=RUN")
    given = parser.parse_args(arguments)
    pairs = [entry.rpartition("=") for entry in given.variant]
    variants = {label: Path(folder) for label, _, folder in pairs}
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    export(given.run, given.dataset, given.output, variants)


if __name__ == "__main__":
    main()
