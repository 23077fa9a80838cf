"""Write a trained mouth network as ONNX, and ship it with its model card.

python -m training.mouth_export out/mouth/checkpoint.pt src/mdth/weights --person london/013 \
    --scores measured.json
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdth.embedded.render import conditions
from mdth.errors import InputError
from training import card, command

if TYPE_CHECKING:
    from training.mouth_network import MouthNetwork

log = logging.getLogger("mdth")


def export(network: "MouthNetwork", path: Path) -> None:
    """Write the network as ONNX: `conditions` [1,14,h,w] -> `inside` [1,3,h,w]."""
    import torch

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


def trained(state: dict[str, Any], people: Sequence[str]) -> "MouthNetwork":
    """The network of a checkpoint with the mean code of some people, or none's: zero.

    A collection's name, `talk`, stands for one person, the mean of all of its. Raises InputError:
    a person is not among those trained on.
    """
    from training.mouth_network import MouthNetwork

    network = MouthNetwork()
    network.load_state_dict(state["average"])
    for person in people:
        numbers = [
            number
            for number, name in enumerate(state["people"])
            if name == person or name.startswith(f"{person}/")
        ]
        if not numbers:
            raise InputError(f"not trained on: {person}")
        network.code += state["codes"]["weight"][numbers].mean(0) / len(people)
    return network


def ship(checkpoint: Path, folder: Path, scores: dict[str, Any], people: Sequence[str]) -> Path:
    """Write `mouth.onnx` and `mouth.json` from a checkpoint of `training.mouth`."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = trained(state, people)
    path = folder / "mouth.onnx"
    export(network, path)
    run = {
        "config": {"channels": conditions.CHANNELS, "sizes": conditions.SIZES},
        "steps": state["steps"],
        "teeth of": list(people),
        "share of the run": state["progress"],
        "scores": scores,
    }
    card.write("mouth", path, run)
    return path


def main() -> None:
    """Ship a checkpoint."""
    parser = command.parser("training.mouth_export", __doc__)
    parser.add_argument("checkpoint", type=Path, help="made by training.mouth")
    parser.add_argument("folder", type=Path, help="where mouth.onnx and mouth.json go")
    parser.add_argument("--person", action="append", default=[], help="whose teeth to show")
    parser.add_argument("--scores", type=Path, help="JSON made by training.mouth_measure --json")
    args = parser.parse_args()
    scores = json.loads(args.scores.read_text("utf-8")) if args.scores else {}
    path = ship(args.checkpoint, args.folder, scores, args.person)
    log.info("%s, %d bytes", path, path.stat().st_size)


if __name__ == "__main__":
    command.run(main)
