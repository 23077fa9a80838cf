"""Windows -> a trained decoder.

    python -m training.decoder work/people.npz work/windows work/runs/conv --bank work/bank.npz

Written: `decoder.pt` (weights, averaged over the run) and `scores.json`.
"""

import json
import logging
from pathlib import Path

from training import command
from training.people import People

log = logging.getLogger("mdth")


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.decoder", __doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("windows", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    parser.add_argument("--bank", type=Path, help="what is heard in the clips to score on")
    parser.add_argument("--start", type=int, help="the shipped decoder to go on from: 0, 1 ...")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a field of DecoderConfig or TrainConfig")  # fmt: skip
    given = parser.parse_args(arguments)
    import torch

    from training import decoder_trainer as training
    from training.bank import Bank, score_bank
    from training.export_onnx import shipped
    from training.network import LipDecoder

    config, train = training.configure(given.set)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    people = People.load(given.people)
    windows = training.Windows.load(given.windows, torch.device(device))
    torch.manual_seed(train.random_seed)
    begun = LipDecoder(config) if given.start is None else shipped()[given.start]
    network = training.train_decoder(begun, train, windows, people)
    scores = score_bank(network, Bank.load(given.bank), people) if given.bank else {}
    training.save_run(given.output, network, train, dict(scores))
    log.info("%s", json.dumps(scores, indent=1))


if __name__ == "__main__":
    command.run(main)
