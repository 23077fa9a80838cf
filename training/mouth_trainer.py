"""The mouth network's losses, optimisers, checkpoints and scores."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.artefacts import Frame
from mdth.embedded.render.conditions import CHANNELS, RIM
from mdth.files.write import replacing
from training.mouth_batches import Banks, Batch
from training.mouth_network import CODE, Critic, MouthNetwork

log = logging.getLogger("mdth")

LEARNING_RATE, CRITIC_RATE = 4e-4, 2e-4
CODE_RATE = 4e-3
GRADIENT, ENERGY, CHANGE, MATCHING = 1.0, 0.7, 0.5, 2.0
# Codes stay near zero, and are left out (zero) or blurred so often and so much.
CODE_SIZE, CODE_LEFT_OUT, CODE_NOISE = 1e-3, 0.1, 0.1
# Around the lips errors count so much.
AROUND = 0.3
# Sharpness is compared in windows of so many px.
WINDOW = 8
# The critic joins after this share of the steps.
CRITIC_FROM = 0.2
WARM_UP = 200
AVERAGE = 0.999
NETWORKS = ("network", "average", "codes", "critic")
OPTIMISERS = ("optimiser", "critic_optimiser")
BATCH, LARGE_BATCH = 96, 32
# Every so many steps a batch of large cut-outs.
LARGE_EVERY = 6
REPORT_S = 30


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences along x and y."""
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def losses(painted: Tensor, true: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of colours and of their gradients; weight [B,1,h,w]."""
    total = weight.sum().clamp_min(1.0)
    colour = ((painted - true).abs() * weight).sum() / (3 * total)
    edges = torch.zeros((), device=weight.device)
    near = (weight[..., 1:], weight[..., 1:, :])
    for a, b, w in zip(gradients(painted), gradients(true), near, strict=True):
        edges = edges + ((a - b).abs() * w).sum() / (3 * total)
    return colour, edges


def energy_loss(painted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error of how strong gradients are nearby; weight [B,1,h,w].

    It does not ask where an edge lies: teeth a little aside stay sharp.
    """
    windows = functional.avg_pool2d(weight, WINDOW)
    unlike = (strength(painted, weight) - strength(true, weight)).abs()
    return unlike.sum() / (3 * windows.sum().clamp_min(1.0))


def strength(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted size of the gradients, mean of each window, [B,3,h/8,w/8]."""
    along, down = gradients(x)
    size = (along[..., 1:, :] ** 2 + down[..., :, 1:] ** 2 + 1e-4).sqrt()
    size = functional.pad(size, (1, 0, 1, 0))
    return functional.avg_pool2d(size * weight, WINDOW)


def region(mask: Tensor, around: Tensor) -> Tensor:
    """The lips' inside [B,1,h,w], and where `around` [B] says so a soft rim about it."""
    reach = max(1, round(RIM * mask.shape[-1]))
    grown = functional.max_pool2d(mask, 2 * reach + 1, 1, reach)
    soft = functional.avg_pool2d(grown, 2 * reach + 1, 1, reach)
    return torch.maximum(mask, soft * around[:, None, None, None])


def change_loss(painted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """How wrongly colours change between two near openings; samples follow each other in pairs."""
    both = torch.minimum(mask[0::2], mask[1::2])
    off = (painted[1::2] - painted[0::2]) - (true[1::2] - true[0::2])
    return (off.abs() * both).sum() / (both.sum().clamp_min(1.0) * 3)


class Trainer:
    """Network, the people's codes, critic, their optimisers; adversarial: the critic's weight."""

    def __init__(self, device: str, people: list[str], *, adversarial: float = 0.1) -> None:
        self.device = device
        self.people = people
        self.adversarial = adversarial
        self.network = MouthNetwork().to(device)
        self.average = MouthNetwork().to(device)
        self.codes = nn.Embedding(len(people), CODE).to(device)
        nn.init.normal_(self.codes.weight, std=0.1)
        self.critic = Critic().to(device)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": self.network.parameters(), "rate": LEARNING_RATE, "weight_decay": 1e-4},
                {"params": self.codes.parameters(), "rate": CODE_RATE, "weight_decay": 0.0},
            ],
            betas=(0.5, 0.99),
        )
        self.critic_optimiser = torch.optim.AdamW(
            self.critic.parameters(), CRITIC_RATE, betas=(0.5, 0.99)
        )
        self.average.load_state_dict(self.network.state_dict())
        self.steps = 0

    def step(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """One step; progress 0..1 sets the rates and when the critic joins."""
        falling = max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        rate = falling * min(1.0, (self.steps + 1) / WARM_UP)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * rate
        self.critic_optimiser.param_groups[0]["lr"] = CRITIC_RATE * rate
        conditions, true = batch.planes[:, :CHANNELS], batch.planes[:, CHANNELS:]
        mask = conditions[:, 3:4]
        where = region(mask, batch.around.float())
        code, spread = self._code(batch)
        painted, true = (
            torch.where(batch.grey[:, None, None, None], x.mean(1, keepdim=True), x)
            for x in (self.network(conditions, code), true)
        )
        weight = mask + AROUND * (where - mask)
        colour, edges = losses(painted, true, weight)
        as_sharp = ~batch.lent
        energy = energy_loss(*(x[as_sharp] for x in (painted, true, weight)))
        loss = colour + GRADIENT * edges + ENERGY * energy + CODE_SIZE * spread
        seen = {"colour": colour, "edges": edges, "energy": energy, "code": spread}
        if batch.pairs:
            at = slice(-2 * batch.pairs, None)
            seen["change"] = change_loss(painted[at], true[at], mask[at])
            loss = loss + CHANGE * seen["change"]
        if progress > CRITIC_FROM:
            fake = torch.cat([where * painted + (1 - where) * true, where], 1)
            real = torch.cat([true, where], 1)
            real = real[as_sharp]
            seen["critic"] = self._teach_critic(fake.detach(), real)
            features, score = self.critic(fake)
            with torch.no_grad():
                wanted, _ = self.critic(real)
            matching = sum(
                functional.l1_loss(a[as_sharp], b) for a, b in zip(features, wanted, strict=True)
            )
            loss = loss + MATCHING * matching - self.adversarial * score.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._keep_average()
        self.steps += 1
        return {name: value.detach() for name, value in seen.items()}

    def _code(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Each sample's code, disturbed, those of a pair alike; and the codes' mean square."""
        code: Tensor = self.codes(batch.person)
        spread = code.square().mean()
        alike = torch.arange(len(code), device=code.device)
        if batch.pairs:
            alike[-2 * batch.pairs + 1 :: 2] -= 1
        kept = (torch.rand(len(code), 1, device=code.device) > CODE_LEFT_OUT)[alike]
        noise = CODE_NOISE * torch.randn_like(code)[alike]
        return (code + noise) * kept, spread

    def _teach_critic(self, fake: Tensor, real: Tensor) -> Tensor:
        loss = (
            functional.relu(1 - self.critic(real)[1]).mean()
            + functional.relu(1 + self.critic(fake)[1]).mean()
        )
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()
        return loss.detach()

    @torch.no_grad()
    def _keep_average(self) -> None:
        keep = min(AVERAGE, (self.steps + 1) / (self.steps + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def save(self, path: Path, *, progress: float) -> None:
        """Write everything needed to go on: the networks, and beside them the optimisers."""
        state = {name: getattr(self, name).state_dict() for name in NETWORKS}
        told = {"people": self.people, "steps": self.steps, "progress": progress}
        optimisers = {name: getattr(self, name).state_dict() for name in OPTIMISERS}
        for file, content in ((path, {**state, **told}), (_beside(path), optimisers)):
            with replacing(file) as part:
                torch.save(content, part)

    def load(self, path: Path) -> float:
        """Go on from what `save` wrote; its progress."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        state |= torch.load(_beside(path), map_location=self.device, weights_only=True)
        self.steps, self.people = state.pop("steps"), state.pop("people")
        progress = float(state.pop("progress"))
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)
        return progress


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_optimisers.pt")


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
        seen = trainer.step(drawn, progress=at)
        if now - reported > REPORT_S:
            reported = now
            said = {name: round(float(value), 4) for name, value in seen.items()}
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
