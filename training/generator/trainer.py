"""Generator, its running average, critic, and one step of their training, on one GPU or several."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mdth.bfv2v.config import GeneratorConfig
from mdth.bfv2v.network import Generator
from mdth.files.write import replacing
from tests.support import generator_plain as plain
from training.generator import critic as judging
from training.generator.batches import Pair
from training.generator.critic import Critic
from training.generator.losses import Perceptual, keypoint_spread, pyramid

RATE, BETAS = 2e-4, (0.5, 0.999)
WARM_UP = 200
"""Steps in which the rate rises."""
CRITIC_FROM = 1000
"""The step at which the critic joins."""
PYRAMID, PERCEPTUAL, ADVERSARIAL, MATCHING, SPREAD = 10.0, 10.0, 0.1, 10.0, 1.0
AVERAGE = 0.999
LARGEST_GRADIENT = 10.0


class Training(nn.Module):
    """What `DistributedDataParallel` wraps: a generator that also shows its keypoints."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Pictures [B,3,S,S] and driving keypoints [B,K,3]."""
        motion = self.generator.dense_motion_network
        # In half precision a keypoint would be pixels off.
        with torch.autocast(pair.source.device.type, enabled=False):
            source = motion.keypoints(pair.source_face)
            driving = motion.keypoints(pair.driving_face)
        volume = self.generator.volume(pair.source)
        flow = plain.dense_motion(motion, volume, source, driving)
        return plain.picture(self.generator, volume, flow), driving


class Trainer:
    """Everything that is trained, and what is needed to go on.

    several: under `torchrun`, gradients are shared by all processes, on GPUs batch statistics too.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        device: torch.device,
        *,
        several: bool = False,
        critic_width: int = 64,
        perceptual: Path | None = None,
    ) -> None:
        self.device = device
        self.generator = Generator(config).to(device)
        self.average = Generator(config).to(device).requires_grad_(False).eval()
        self.average.load_state_dict(self.generator.state_dict())
        self.critic = Critic(critic_width).to(device)
        self.perceptual = Perceptual(perceptual).to(device) if perceptual else None
        self._training: nn.Module = Training(self.generator)
        self._judging: nn.Module = self.critic
        if several:
            self._share()
        self.optimiser = torch.optim.Adam(self.generator.parameters(), RATE, betas=BETAS)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), RATE, betas=BETAS)
        self.steps = 0

    def _share(self) -> None:
        on_gpu = self.device.type == "cuda"
        numbers = [self.device.index or 0] if on_gpu else None
        if on_gpu:
            convert = nn.SyncBatchNorm.convert_sync_batchnorm
            self._training = convert(self._training)  # type: ignore[no-untyped-call]
        self._training = DistributedDataParallel(self._training, numbers, broadcast_buffers=False)
        self._judging = DistributedDataParallel(self.critic, numbers, broadcast_buffers=False)

    def step(self, pair: Pair) -> dict[str, float]:
        """One step of the generator, and from `CRITIC_FROM` on one of the critic before it."""
        rate = RATE * min(1.0, (self.steps + 1) / WARM_UP)
        for optimiser in (self.optimiser, self.critic_optimiser):
            optimiser.param_groups[0]["lr"] = rate
        self.generator.train()
        with self._autocast():
            made, keypoints = self._training(pair)
        made, keypoints = made.float(), keypoints.float()
        losses = {
            "pyramid": PYRAMID * pyramid(made, pair.driving),
            "spread": SPREAD * keypoint_spread(keypoints),
        }
        if self.perceptual is not None:
            with self._autocast():
                losses["perceptual"] = PERCEPTUAL * self.perceptual(made, pair.driving)
        if self.steps >= CRITIC_FROM:
            taught = self._teach_critic(made.detach(), pair.driving)
            losses |= self._judged(made, pair.driving)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.generator.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self._keep_average()
        seen = {name: float(loss.detach()) for name, loss in losses.items()}
        if self.steps >= CRITIC_FROM:
            seen["critic"] = taught
        self.steps += 1
        return seen

    def _teach_critic(self, made: Tensor, true: Tensor) -> float:
        self.critic.requires_grad_(True)
        with self._autocast():
            judged = judging.halves(self._judging(torch.cat([true, made])))
            loss = judging.critic_loss(*judged)
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()
        return float(loss.detach())

    def _judged(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        # The critic itself, not its shared form: only the generator learns from this.
        self.critic.requires_grad_(False)
        with self._autocast():
            seen_true, seen_made = judging.halves(self.critic(torch.cat([true, made])))
            return {
                "adversarial": ADVERSARIAL * judging.adversarial_loss(seen_made),
                "matching": MATCHING * judging.matching_loss(seen_true, seen_made),
            }

    @torch.no_grad()
    def _keep_average(self) -> None:
        keep = min(AVERAGE, (self.steps + 1) / (self.steps + 10))
        state = self.generator.state_dict()
        for name, mean in self.average.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(state[name], 1 - keep)
            else:
                mean.copy_(state[name])

    def _autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 on a GPU: the range of float32, so that no loss is scaled."""
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")

    def save(self, path: Path) -> None:
        """Write all of it; the running average is the entry `generator`, as published."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        with replacing(path) as part:
            torch.save({**state, "steps": self.steps}, part)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps = cast(int, state["steps"])

    def _parts(self) -> dict[str, Any]:
        networks = {"training": self.generator, "generator": self.average, "critic": self.critic}
        rest = {"optimiser": self.optimiser, "critic_optimiser": self.critic_optimiser}
        return {**networks, **rest}


@torch.no_grad()
def reenact(generator: Generator, pair: Pair, *, batch: int = 4) -> Tensor:
    """Pictures [B,3,S,S] of the pairs by a generator at rest."""
    generator.eval()
    made = []
    for start in range(0, len(pair.source), batch):
        chosen = slice(start, start + batch)
        faces = [
            type(face)(*(part[chosen] for part in face))
            for face in (pair.source_face, pair.driving_face)
        ]
        rendered = plain.render(generator, pair.source[chosen], *faces)
        made.append(rendered.prediction.float())
    return torch.cat(made)


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """[B] in dB."""
    error = functional.mse_loss(made, true, reduction="none").mean((1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-10))
