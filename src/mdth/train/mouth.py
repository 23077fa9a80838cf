"""Train the mouth network.

    python -m mdth.train.mouth work/mouth out/mouth --minutes 6 --workers 16

Reads what `mdth.train.mouth_data` packed, sees it as the renderer will (`mouth_bank`), trains, and
writes `mouth.onnx`, `checkpoint.pt`, `samples.png` and `scores.json`. `--resume CHECKPOINT` goes on
from one. Losses: L1 and gradients inside the lips, and a critic with feature matching so that teeth
stay sharp (as in pix2pixHD, Wang et al. 2018, equations 2 and 3, hinge form).
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
from torch.nn import functional

from mdth.train.mouth_bank import Pair, Pictures, bank
from mdth.train.mouth_batches import Banks
from mdth.train.mouth_conditions import CHANNELS, SIZES
from mdth.train.mouth_network import Critic, MouthNetwork

log = logging.getLogger("mdth")

REPEATS = {"s1": 1, "london": 24, "generated": 40}
LARGE_REPEATS = {"london": 4, "generated": 5}
# Stills opened wide, whose inside nobody has seen: they keep to the drawing.
OPENED, LARGE_OPENED = 1500, 150
BATCH, LARGE_BATCH = 96, 16
# Every so many steps a batch of large cut-outs.
LARGE_EVERY = 6
LEARNING_RATE, CRITIC_RATE = 4e-4, 2e-4
GRADIENT, MATCHING, ADVERSARIAL = 1.0, 1.0, 0.06
# The critic joins after this share of the time.
CRITIC_FROM = 0.2
AVERAGE = 0.999


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences along x and y."""
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def inside_losses(painted: Tensor, true: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of colours and of their gradients inside the lips."""
    weight = mask.sum().clamp_min(1.0) * 3
    colour = ((painted - true).abs() * mask).sum() / weight
    edges = sum(
        ((a - b).abs() * m).sum() / weight
        for a, b, m in zip(
            gradients(painted),
            gradients(true),
            (mask[..., :, 1:], mask[..., 1:, :]),
            strict=True,
        )
    )
    return colour, torch.as_tensor(edges)


class Trainer:
    """Network, critic and their optimisers."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.network = MouthNetwork().to(device)
        self.average = MouthNetwork().to(device)
        self.critic = Critic().to(device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), LEARNING_RATE, betas=(0.5, 0.99), weight_decay=1e-4
        )
        self.critic_optimiser = torch.optim.AdamW(
            self.critic.parameters(), CRITIC_RATE, betas=(0.5, 0.99)
        )
        self.average.load_state_dict(self.network.state_dict())
        self.steps = 0

    def step(self, batch: Tensor, *, real: int, progress: float) -> dict[str, float]:
        """One step on samples [B,18,h,w]; progress 0..1 sets rates and the critic's entry.

        The critic compares the first `real` samples, those that have a true picture.
        """
        rate = min(1.0, (self.steps + 1) / 200) * max(0.02, 0.5 * (1 + np.cos(np.pi * progress)))
        for group, top in (
            (self.optimiser, LEARNING_RATE),
            (self.critic_optimiser, CRITIC_RATE),
        ):
            group.param_groups[0]["lr"] = top * rate
        conditions, true = batch[:, :CHANNELS], batch[:, CHANNELS:]
        mask = conditions[:, 3:4]
        painted = self.network(conditions)
        colour, edges = inside_losses(painted, true, mask)
        loss = colour + GRADIENT * edges
        seen = {"colour": float(colour.detach()), "edges": float(edges.detach())}
        if progress > CRITIC_FROM:
            fake = torch.cat([mask * painted + (1 - mask) * true, mask], 1)[:real]
            shown = torch.cat([true, mask], 1)[:real]
            seen["critic"] = self._teach_critic(fake.detach(), shown)
            features, score = self.critic(fake)
            with torch.no_grad():
                wanted, _ = self.critic(shown)
            matching = sum(functional.l1_loss(a, b) for a, b in zip(features, wanted, strict=True))
            loss = loss + MATCHING * matching - ADVERSARIAL * score.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._keep_average()
        self.steps += 1
        return seen

    def _teach_critic(self, fake: Tensor, real: Tensor) -> float:
        loss = (
            functional.relu(1 - self.critic(real)[1]).mean()
            + functional.relu(1 + self.critic(fake)[1]).mean()
        )
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()
        return float(loss)

    @torch.no_grad()
    def _keep_average(self) -> None:
        keep = min(AVERAGE, (self.steps + 1) / (self.steps + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def save(self, path: Path) -> None:
        """Write everything needed to go on."""
        parts = ("network", "average", "critic", "optimiser", "critic_optimiser")
        state = {name: getattr(self, name).state_dict() for name in parts}
        torch.save({**state, "steps": self.steps}, path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.steps = state.pop("steps")
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


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
        "psnr_drawn": totals[0] / totals[4],
        "psnr_painted": totals[1] / totals[4],
        "gradient_energy": totals[2] / totals[3],
        "samples": totals[4],
    }


@torch.no_grad()
def picture(network: MouthNetwork, samples: Tensor) -> npt.NDArray[np.uint8]:
    """Rows of: input face, drawn, painted into the face, true; RGB uint8."""
    rows = []
    for sample in samples.float():
        conditions, true = sample[None, :CHANNELS], sample[CHANNELS:]
        mask = conditions[0, 3:4]
        drawn = conditions[0, 4:7] * mask + conditions[0, :3] * (1 - mask)
        painted = network(conditions)[0].clamp(-1, 1) * mask + conditions[0, :3] * (1 - mask)
        rows.append(torch.cat([conditions[0, :3], drawn, painted, true], 2))
    grid = torch.cat(rows, 1).permute(1, 2, 0).cpu().numpy()
    return np.clip((grid + 1) * 127.5, 0, 255).astype(np.uint8)


def export(network: MouthNetwork, path: Path) -> None:
    """Write the network as ONNX: `conditions` [1,15,h,w] -> `inside` [1,3,h,w]."""
    width, height = SIZES[0]
    example = torch.zeros(1, CHANNELS, height, width)
    torch.onnx.export(
        network.cpu().eval(),
        (example,),
        str(path),
        input_names=["conditions"],
        output_names=["inside"],
        dynamic_axes={"conditions": {2: "h", 3: "w"}, "inside": {2: "h", 3: "w"}},
        opset_version=17,
        dynamo=False,
    )


def banks(
    folder: Path, *, workers: int, limit: int | None
) -> tuple[dict[str, dict[str, npt.NDArray[np.float16]]], dict[str, npt.NDArray[np.float16]]]:
    """Training samples (`small`, `large`) and test samples, by set."""
    pairs = list(Pictures(folder).pairs())

    def of(part: str, repeats: int) -> list[Pair]:
        chosen = [pair for pair in pairs if pair.part == part][:limit]
        return chosen * repeats

    def made(names: dict[str, int], size: tuple[int, int]) -> dict[str, npt.NDArray[np.float16]]:
        return {
            name: bank(folder, of(name, repeats), size=size, workers=workers)
            for name, repeats in names.items()
        }

    train = {"small": made(REPEATS, SIZES[0]), "large": made(LARGE_REPEATS, SIZES[1])}
    random = np.random.default_rng(0)
    for name, count, size in (("small", OPENED, SIZES[0]), ("large", LARGE_OPENED, SIZES[1])):
        opened = Pictures(folder).opened(random, min(count, limit or count))
        train[name]["opened"] = bank(folder, opened, size=size, workers=workers)
    tests = dict.fromkeys(("s1_test", "london_test", "generated_test"), 1)
    return train, made(tests, SIZES[0])


def rounds(trainer: Trainer, train: dict[str, Banks], seconds: float) -> Iterator[float]:
    """Train for so many seconds; yields progress 0..1 now and then, for checkpoints."""
    start = reported = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        progress = (now - start) / seconds
        large = trainer.steps % LARGE_EVERY == 0
        source = train["large" if large else "small"]
        batch = source.draw(LARGE_BATCH if large else BATCH)
        seen = trainer.step(batch, real=source.real, progress=progress)
        if now - reported > 30:
            reported = now
            log.info("%4.0f s step %d %s", now - start, trainer.steps, seen)
            yield progress


def main() -> None:
    """Train, score, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="made by mdth.train.mouth_data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--limit", type=int, help="pairs of each set, for a rehearsal")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.monotonic()
    train, tests = banks(args.pictures, workers=args.workers, limit=args.limit)
    counts = {name: len(s) for group in (*train.values(), tests) for name, s in group.items()}
    log.info("samples %s in %.0f s", counts, time.monotonic() - start)
    trainer = Trainer(device)
    if args.resume:
        trainer.load(args.resume)
    ready = {name: Banks(group, device) for name, group in train.items()}
    held = {name: torch.from_numpy(s).to(device) for name, s in tests.items()}
    for _ in rounds(trainer, ready, args.minutes * 60):
        trainer.save(args.out / "checkpoint.pt")
        log.info("%s", {name: score(trainer.average, s) for name, s in held.items()})
    trainer.save(args.out / "checkpoint.pt")
    scores = {name: score(trainer.average, s) for name, s in held.items()}
    log.info("%s", json.dumps(scores, indent=1))
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    chosen = torch.cat([s[:: max(1, len(s) // 6)][:6] for s in held.values()])
    PillowImage.fromarray(picture(trainer.average, chosen)).save(args.out / "samples.png")
    export(trainer.average, args.out / "mouth.onnx")


if __name__ == "__main__":
    main()
