"""Train the mouth network.

    python -m training.mouth work/mouth out/mouth --minutes 20 --piece 7.5 --workers 16

Reads what `training.mouth_data` packed, sees it as the renderer will (`mouth_bank`), and trains
for so many minutes in all, in pieces: the same command again goes on from `checkpoint.pt` in the
output folder until all is done. Each piece leaves `mouth.onnx`, `samples.png` (test pictures: input
face, drawn, painted, true, relative to the skin), `strips.png` (stills kept out, lips opened step
by step) and `scores.json`.

Losses: L1 of colours, of their gradients and of their change between near openings, inside the
lips, and a critic with feature matching so that teeth stay sharp (as in pix2pixHD, Wang et al.
2018, equations 2 and 3, hinge form).
"""

import argparse
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from torch import Tensor

from mdth.embedded.render.conditions import CHANNELS, SIZES
from training.mouth_bank import Pair, Pictures, bank
from training.mouth_batches import Banks
from training.mouth_export import export
from training.mouth_network import MouthNetwork
from training.mouth_strips import Strips
from training.mouth_trainer import Trainer, gradients

log = logging.getLogger("mdth")

Samples = dict[str, npt.NDArray[np.float16]]

# How often each pair becomes a sample: at its own scale, mirrored or not, soft or not.
REPEATS = {"s1": 2, "london": 32, "generated": 48}
LARGE_REPEATS = {"london": 5, "generated": 8}
# People with teeth, each with lips opened at random: see `mouth_bank.make_opened`.
OPENED, LARGE_OPENED = 2400, 400
BATCH, LARGE_BATCH = 96, 32
# Every so many steps a batch of large cut-outs.
LARGE_EVERY = 6
TESTS = ("s1_test", "london_test", "generated_test")
REPORT_S = 30


@torch.no_grad()
def score(network: MouthNetwork, samples: Tensor) -> dict[str, float]:
    """PSNR inside the lips (drawn, painted) and gradient energy relative to the real one."""
    totals = np.zeros(5)
    for batch in samples.split(64):  # type: ignore[no-untyped-call]
        batch = batch.float()
        conditions, true = batch[:, :CHANNELS], batch[:, CHANNELS:]
        mask = (conditions[:, 3:4] > 0.5).float()
        painted = network(conditions).clamp(-1, 1)
        area = mask.sum((1, 2, 3)).clamp_min(1) * 3
        for i, picture in enumerate((conditions[:, 4:7], painted)):
            error = (((picture - true) / 2) ** 2 * mask).sum((1, 2, 3)) / area
            totals[i] += float((-10 * torch.log10(error.clamp_min(1e-6))).sum())
        both = mask[..., 1:, 1:]
        for i, picture in enumerate((painted, true)):
            x, y = gradients(picture)
            totals[2 + i] += float(((x[..., 1:, :] ** 2 + y[..., :, 1:] ** 2) * both).sum())
        totals[4] += len(batch)
    return {
        "psnr_drawn": round(float(totals[0] / totals[4]), 2),
        "psnr_painted": round(float(totals[1] / totals[4]), 2),
        "gradient_energy": round(float(totals[2] / max(totals[3], 1e-9)), 3),
        "samples": int(totals[4]),
    }


@torch.no_grad()
def picture(network: MouthNetwork, samples: Tensor) -> npt.NDArray[np.uint8]:
    """Rows of: input face, drawn, painted into the face, true; RGB uint8."""
    rows = []
    for sample in samples.float():
        conditions, true = sample[None, :CHANNELS], sample[CHANNELS:]
        face, mask = conditions[0, :3], conditions[0, 3:4]
        ways = (conditions[0, 4:7], network(conditions)[0].clamp(-1, 1))
        shown = [way * mask + face * (1 - mask) for way in ways]
        rows.append(torch.cat([face, *shown, true], 2))
    grid = torch.cat(rows, 1).permute(1, 2, 0).cpu().numpy()
    return np.clip((grid + 1) * 127.5, 0, 255).astype(np.uint8)


def banks(
    folder: Path, *, workers: int, limit: int | None, seed: int
) -> tuple[dict[str, Samples], Samples]:
    """Training samples (`small`, `large`) and test samples, by set."""
    pictures = Pictures(folder)
    pairs = list(pictures.pairs())
    random = np.random.default_rng(seed)

    def of(part: str, repeats: int) -> list[Pair]:
        chosen = [pair for pair in pairs if pair.part == part]
        if limit:
            step = max(1, len(chosen) // limit)
            return chosen[::step][:limit]
        return chosen * repeats

    def made(names: dict[str, int], size: tuple[int, int], seed: int) -> Samples:
        return {
            name: bank(folder, of(name, repeats), size=size, workers=workers, seed=seed)
            for name, repeats in names.items()
        }

    train = {
        "small": made(REPEATS, SIZES[0], seed),
        "large": made(LARGE_REPEATS, SIZES[1], seed + 1),
    }
    for name, count, size in (("small", OPENED, SIZES[0]), ("large", LARGE_OPENED, SIZES[1])):
        opened = pictures.opened(random, min(count, limit or count))
        train[name]["opened"] = bank(folder, opened, size=size, workers=workers, seed=seed)
    return train, made(dict.fromkeys(TESTS, 1), SIZES[0], 0)


def rounds(
    trainer: Trainer,
    train: dict[str, Banks],
    *,
    progress: tuple[float, float],
    seconds: float,
    batch: int,
) -> Iterator[float]:
    """Train from one progress 0..1 to another in so many seconds; yields it now and then."""
    start = reported = time.monotonic()
    first, last = progress
    while (now := time.monotonic()) - start < seconds:
        at = first + (last - first) * (now - start) / seconds
        large = trainer.steps % LARGE_EVERY == LARGE_EVERY - 1
        source = train["large" if large else "small"]
        drawn = source.draw(max(8, batch * LARGE_BATCH // BATCH) if large else batch)
        seen = trainer.step(drawn, pairs=source.pairs, progress=at)
        if now - reported > REPORT_S:
            reported = now
            said = {name: round(value, 4) for name, value in seen.items()}
            log.info("%4.0f s step %d %s", now - start, trainer.steps, said)
            yield at


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training in all")
    parser.add_argument("--piece", type=float, default=7.5, help="minutes of training in one call")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--limit", type=int, help="pairs of each set, for a rehearsal")
    return parser.parse_args()


def main() -> None:
    """Train one piece, score, export."""
    args = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = args.out / "checkpoint.pt"
    trainer = Trainer(device)
    done = trainer.load(checkpoint) if checkpoint.is_file() else 0.0
    begun = time.monotonic()
    # Another seed for each piece: other scales, openings and blurs.
    seed = 1_000_000 * round(100 * done)
    train, tests = banks(args.pictures, workers=args.workers, limit=args.limit, seed=seed)
    counts = {name: len(s) for group in (*train.values(), tests) for name, s in group.items()}
    log.info("progress %.2f; samples %s in %.0f s", done, counts, time.monotonic() - begun)
    until = min(1.0, done + args.piece / args.minutes)
    ready = {name: Banks(group, device) for name, group in train.items()}
    held = {name: torch.from_numpy(s).to(device) for name, s in tests.items()}
    seconds = 60 * args.minutes * (until - done)
    for at in rounds(trainer, ready, progress=(done, until), seconds=seconds, batch=args.batch):
        trainer.save(checkpoint, progress=at)
        log.info("%s", {name: score(trainer.average, s) for name, s in held.items()})
    trainer.save(checkpoint, progress=until)
    scores = {name: score(trainer.average, s) for name, s in held.items()}
    log.info("%s", json.dumps(scores, indent=1))
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    chosen = torch.cat([s[:: max(1, len(s) // 6)][:6] for s in held.values()])
    PillowImage.fromarray(picture(trainer.average, chosen)).save(args.out / "samples.png")
    network = trainer.average.cpu().eval()
    PillowImage.fromarray(Strips.of(args.pictures).painted(network.paint)).save(
        args.out / "strips.png"
    )
    export(network, args.out / "mouth.onnx")


if __name__ == "__main__":
    main()
