"""Train the mouth network.

    python -m training.mouth work/mouth out/mouth --minutes 20 --piece 7.5 --workers 16

Reads what `training.mouth_data` packed, sees it as the renderer will (`mouth_bank`), and trains
for so many minutes in all, in pieces: the same command again goes on from `checkpoint.pt` in the
output folder until all is done. Each piece leaves `mouth.onnx`, `samples.png` (test pictures: input
face, drawn, painted, true, relative to the skin), `strips.png` (stills kept out, lips opened step
by step) and `scores.json`.

Losses: L1 of colours, of their gradients, of how strong those are nearby, and of the change from
one frame to the next, inside the lips and less around them, and a critic with feature matching so
that teeth stay sharp (as in pix2pixHD, Wang et al. 2018, equations 2 and 3, hinge form).
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from mdth.embedded.render.conditions import SIZES
from training import command
from training.mouth_bank import Pair, Pictures, Samples, bank
from training.mouth_export import export
from training.mouth_strips import Strips

log = logging.getLogger("mdth")

# How often each pair becomes a sample: at its own scale, mirrored or not, soft or not.
REPEATS = {"talk": 6, "s1": 4, "london": 16, "generated": 12, "flux": 10, "congress": 4}
LARGE_REPEATS = {"talk": 2, "london": 5, "generated": 5, "flux": 4}
CROSSED, LARGE_CROSSED = 5000, 1500
TESTS = ("s1_test", "london_test", "generated_test")


def banks(
    folder: Path, *, workers: int, limit: int | None, random_seed: int
) -> tuple[dict[str, dict[str, Samples]], dict[str, Samples]]:
    """Training samples (`small`, `large`) and test samples, by set."""
    pictures = Pictures(folder)
    pairs = list(pictures.pairs())
    random = np.random.default_rng(random_seed)

    def of(part: str, repeats: int) -> list[Pair]:
        chosen = [pair for pair in pairs if pair.part == part]
        if limit:
            step = max(1, len(chosen) // limit)
            return chosen[::step][:limit]
        return chosen * repeats

    def made(names: dict[str, int], size: tuple[int, int], random_seed: int) -> dict[str, Samples]:
        chosen = {name: of(name, repeats) for name, repeats in names.items()}
        return {
            name: bank(folder, found, size=size, workers=workers, random_seed=random_seed)
            for name, found in chosen.items()
            if found
        }

    train = {
        "small": made(REPEATS, SIZES[0], random_seed),
        "large": made(LARGE_REPEATS, SIZES[1], random_seed + 1),
    }
    for name, count, size in (("small", CROSSED, SIZES[0]), ("large", LARGE_CROSSED, SIZES[1])):
        crossed = pictures.crossed(random, min(count, limit or count))
        train[name]["crossed"] = bank(
            folder, crossed, size=size, workers=workers, random_seed=random_seed
        )
    return train, made(dict.fromkeys(TESTS, 1), SIZES[0], 0)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = command.parser("training.mouth", __doc__)
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training in all")
    parser.add_argument("--piece", type=float, default=7.5, help="minutes of training in one call")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--adversarial", type=float, default=0.1, help="the critic's weight")
    parser.add_argument("--limit", type=int, help="pairs of each set, for a rehearsal")
    return parser.parse_args()


def main() -> None:
    """Train one piece, score, export."""
    args = arguments()
    import torch

    from training import mouth_trainer as training
    from training.mouth_batches import Banks

    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = args.out / "checkpoint.pt"
    people = Pictures(args.pictures).people.tolist()
    trainer = training.Trainer(device, people, adversarial=args.adversarial)
    done = trainer.load(checkpoint) if checkpoint.is_file() else 0.0
    begun = time.monotonic()
    # Other scales, openings and blurs in each piece.
    random_seed = 1_000_000 * round(100 * done)
    train, tests = banks(
        args.pictures, workers=args.workers, limit=args.limit, random_seed=random_seed
    )
    counts = {n: len(s.planes) for group in (*train.values(), tests) for n, s in group.items()}
    log.info("progress %.2f; samples %s in %.0f s", done, counts, time.monotonic() - begun)
    until = min(1.0, done + args.piece / args.minutes)
    ready = {name: Banks(group, device) for name, group in train.items()}
    held = {name: torch.from_numpy(s.planes).to(device) for name, s in tests.items()}
    seconds = 60 * args.minutes * (until - done)
    progress = done, until
    for at in training.rounds(trainer, ready, progress=progress, seconds=seconds, batch=args.batch):
        trainer.save(checkpoint, progress=at)
        log.info("%s", {name: training.score(trainer.average, s) for name, s in held.items()})
    trainer.save(checkpoint, progress=until)
    scores = {name: training.score(trainer.average, s) for name, s in held.items()}
    log.info("%s", json.dumps(scores, indent=1))
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    chosen = torch.cat([s[:: max(1, len(s) // 6)][:6] for s in held.values()])
    PillowImage.fromarray(training.picture(trainer.average, chosen)).save(args.out / "samples.png")
    network = trainer.average.cpu().eval()
    PillowImage.fromarray(Strips.of(args.pictures).painted(network.paint)).save(
        args.out / "strips.png"
    )
    export(network, args.out / "mouth.onnx")


if __name__ == "__main__":
    command.run(main)
