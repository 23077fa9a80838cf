"""Write a trained mouth network as ONNX, and ship it with its model card.

python -m training.mouth_export out/mouth/checkpoint.pt src/mdth/weights --scores measured.json
"""

import argparse
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from mdth.embedded.render import conditions
from training.mouth_network import MouthNetwork

log = logging.getLogger("mdth")

CARD: dict[str, Any] = {
    "what": (
        "Colours between parted lips, from the drawn cavity, the warped face around it and where "
        "skull and jaw are."
    ),
    "how": (
        "Half of a run of 11 minutes on an H200; in the second half the scores moved by 0.2 dB. "
        "`mouth_network.finished` mixes and sharpens what it paints; its shares were chosen on "
        "the people that the scores are from. The shaded cavity of commit e539872, put "
        "by hand in the place of today's drawing (--every 25), had GMSD 0.110, 0.122 and 0.120 on "
        "the three sets, PSNR 16.4, 16.2 and 14.7 dB."
    ),
    "licence": "CC BY 4.0",
    "data": [
        {
            "name": "The GRID audiovisual sentence corpus, talker s1",
            "by": "Martin Cooke, Jon Barker, Stuart Cunningham, Xu Shao (2006)",
            "source": "Zenodo record 3625687",
            "licence": "CC BY 4.0",
            "changes": "re-encoded; three frames of every second clip, cut out around the face",
        },
        {
            "name": "Face Research Lab London Set",
            "by": "Lisa DeBruine, Benedict Jones (2017)",
            "source": "doi 10.6084/m9.figshare.5047666",
            "licence": "CC BY 4.0",
            "changes": "resized, cut out around the face; ten people kept out",
        },
        {
            "name": "assets-person-portrait (AI-made portraits)",
            "by": "faker-js",
            "licence": "CC0 1.0",
            "changes": "cut out around the face; twelve kept out",
        },
    ],
    "commands": [
        "python -m training.tracks ../shared/data/grid/s1 work/tracks/s1",
        "python -m training.mouth_data ../shared/data work/mouth --tracks work/tracks",
        "python -m training.mouth work/mouth out/mouth --minutes 11 --piece 5.5  # once",
        "python -m training.mouth_measure ../shared/data work/mouth out/mouth/mouth.onnx "
        "--every 10 --json measured.json",
        "python -m training.mouth_export out/mouth/checkpoint.pt src/mdth/weights "
        "--scores measured.json",
    ],
}


def export(network: MouthNetwork, path: Path) -> None:
    """Write the network as ONNX: `conditions` [1,14,h,w] -> `inside` [1,3,h,w]."""
    width, height = conditions.SIZES[0]
    torch.onnx.export(
        network.cpu().eval(),
        (torch.zeros(1, conditions.CHANNELS, height, width),),
        str(path),
        input_names=["conditions"],
        output_names=["inside"],
        dynamic_axes={"conditions": {2: "h", 3: "w"}, "inside": {2: "h", 3: "w"}},
        opset_version=17,
        dynamo=False,
    )


def ship(checkpoint: Path, folder: Path, scores: dict[str, Any]) -> Path:
    """Write `mouth.onnx` and `mouth.json` from a checkpoint of `training.mouth`."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = MouthNetwork()
    network.load_state_dict(state["average"])
    path = folder / "mouth.onnx"
    export(network, path)
    weights = path.read_bytes()
    card = {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": len(weights),
        **CARD,
        "config": {"channels": conditions.CHANNELS, "sizes": conditions.SIZES},
        "steps": state["steps"],
        "share of the run": state["progress"],
        "scores": scores,
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    return path


def main() -> None:
    """Ship a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="made by training.mouth")
    parser.add_argument("folder", type=Path, help="where mouth.onnx and mouth.json go")
    parser.add_argument("--scores", type=Path, help="JSON made by training.mouth_measure --json")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    scores = json.loads(args.scores.read_text("utf-8")) if args.scores else {}
    path = ship(args.checkpoint, args.folder, scores)
    log.info("%s, %d bytes", path, path.stat().st_size)


if __name__ == "__main__":
    main()
