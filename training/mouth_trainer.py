"""The mouth network's losses, optimisers, checkpoints and scores."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mdth.artefacts import Frame
from mdth.embedded.render.conditions import CHANNELS
from training.mouth_batches import Banks
from training.mouth_network import Critic, MouthNetwork

log = logging.getLogger("mdth")

LEARNING_RATE, CRITIC_RATE = 4e-4, 2e-4
GRADIENT, CHANGE, MATCHING, ADVERSARIAL = 1.0, 0.5, 1.0, 0.06
# The critic joins after this share of the steps.
CRITIC_FROM = 0.2
WARM_UP = 200
AVERAGE = 0.999
BATCH, LARGE_BATCH = 96, 32
# Every so many steps a batch of large cut-outs.
LARGE_EVERY = 6
REPORT_S = 30


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


def change_loss(painted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """How wrongly colours change between two near openings; samples follow each other in pairs."""
    both = torch.minimum(mask[0::2], mask[1::2])
    off = (painted[1::2] - painted[0::2]) - (true[1::2] - true[0::2])
    return (off.abs() * both).sum() / (both.sum().clamp_min(1.0) * 3)


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

    def step(self, batch: Tensor, *, pairs: int, progress: float) -> dict[str, float]:
        """One step on samples [B,17,h,w], the last `2 * pairs` of them pairs.

        progress 0..1 sets the rates and when the critic joins.
        """
        falling = max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        rate = falling * min(1.0, (self.steps + 1) / WARM_UP)
        self.optimiser.param_groups[0]["lr"] = LEARNING_RATE * rate
        self.critic_optimiser.param_groups[0]["lr"] = CRITIC_RATE * rate
        conditions, true = batch[:, :CHANNELS], batch[:, CHANNELS:]
        mask = conditions[:, 3:4]
        painted = self.network(conditions)
        colour, edges = inside_losses(painted, true, mask)
        loss = colour + GRADIENT * edges
        seen = {"colour": float(colour.detach()), "edges": float(edges.detach())}
        if pairs:
            at = slice(-2 * pairs, None)
            change = change_loss(painted[at], true[at], mask[at])
            seen["change"] = float(change.detach())
            loss = loss + CHANGE * change
        if progress > CRITIC_FROM:
            fake = torch.cat([mask * painted + (1 - mask) * true, mask], 1)
            real = torch.cat([true, mask], 1)
            seen["critic"] = self._teach_critic(fake.detach(), real)
            features, score = self.critic(fake)
            with torch.no_grad():
                wanted, _ = self.critic(real)
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
        return float(loss.detach())

    @torch.no_grad()
    def _keep_average(self) -> None:
        keep = min(AVERAGE, (self.steps + 1) / (self.steps + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def save(self, path: Path, *, progress: float) -> None:
        """Write everything needed to go on."""
        parts = ("network", "average", "critic", "optimiser", "critic_optimiser")
        state = {name: getattr(self, name).state_dict() for name in parts}
        whole = path.with_suffix(".part")
        torch.save({**state, "steps": self.steps, "progress": progress}, whole)
        whole.replace(path)

    def load(self, path: Path) -> float:
        """Go on from what `save` wrote; its progress."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.steps = state.pop("steps")
        progress = float(state.pop("progress"))
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)
        return progress


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
def picture(network: MouthNetwork, samples: Tensor) -> Frame:
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
