"""Windows -> a trained decoder.

    python -m training.decoder work/dataset/s1 work/windows work/runs/conv \
        --bank s1=work/dataset/s1,work/bank/s1.npz \
        --bank others=work/dataset/others,work/bank/others.npz

Written: `decoder.pt` (weights, averaged over the run) and `scores.json`.
"""

import json
import logging
from pathlib import Path

from training import command
from training.dataset import Faces

log = logging.getLogger("mdth")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("training.decoder", __doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("windows", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    parser.add_argument("--bank", action="append", default=[], metavar="NAME=DATASET,FILE")
    parser.add_argument("--begin", type=Path, metavar="RUN", help="go on from this run's weights")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a field of DecoderConfig or TrainConfig")  # fmt: skip
    given = parser.parse_args(arguments)
    import torch

    from training import decoder_trainer as training

    config, train = training.configure(given.set)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    faces, banks = Faces.load(given.dataset), training.load_banks(given.bank)
    windows = training.Windows.load(given.windows, torch.device(device))
    begin = given.begin and torch.load(given.begin / "decoder.pt", weights_only=True)
    network = training.train_decoder(config, train, windows, faces, begin=begin)
    scores = {
        name: training.score_bank(network, bank, held_out)
        for name, (held_out, bank) in banks.items()
    }
    training.save_run(given.output, network, train, dict(scores))
    log.info("%s", json.dumps(scores, indent=1))


if __name__ == "__main__":
    command.run(main)
