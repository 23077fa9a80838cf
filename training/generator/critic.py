"""Tells true pictures from made ones, patch by patch and at two sizes (pix2pixHD, section 3.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.blocks import SpectralConv2d

SCALES = 2
SLOPE = 0.2


class Judged(NamedTuple):
    """features: of each block. score: [B,1,h,w], positive for true."""

    features: list[Tensor]
    score: Tensor


class PatchCritic(nn.Module):
    """Four convolutions that halve the size, and one that judges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.ModuleList(
            SpectralConv2d(a, b, 3) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.last = SpectralConv2d(widths[-1], 1, 3)

    def forward(self, x: Tensor) -> Judged:
        """Of pictures [B,3,S,S] in 0..1."""
        features = []
        x = 2 * x - 1
        for block in self.blocks:
            x = functional.avg_pool2d(functional.leaky_relu(block(x), SLOPE), 2)
            features.append(x)
        return Judged(features, self.last(x))


class Critic(nn.Module):
    """A patch critic for each size."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchCritic(width) for _ in range(SCALES))

    def forward(self, x: Tensor) -> list[Judged]:
        """Each size's judgement."""
        judged = []
        for critic in self.scales:
            judged.append(critic(x))
            x = functional.avg_pool2d(x, 2)
        return judged


def halves(judged: list[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Judgements of a batch whose first half is true -> of the true, and of the made."""
    parts = []
    for which in (0, 1):
        parts.append(
            [
                Judged([f.chunk(2)[which] for f in one.features], one.score.chunk(2)[which])
                for one in judged
            ]
        )
    return parts[0], parts[1]


def critic_loss(true: list[Judged], made: list[Judged]) -> Tensor:
    """Hinge form: true above 1, made below -1."""
    losses = [
        functional.relu(1 - a.score).mean() + functional.relu(1 + b.score).mean()
        for a, b in zip(true, made, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(made: list[Judged]) -> Tensor:
    """What the generator loses when it is found out."""
    return -torch.stack([judged.score.mean() for judged in made]).mean()


def matching_loss(true: list[Judged], made: list[Judged]) -> Tensor:
    """Mean absolute difference of the critic's features."""
    losses = [
        functional.l1_loss(ours, theirs.detach())
        for a, b in zip(true, made, strict=True)
        for theirs, ours in zip(a.features, b.features, strict=True)
    ]
    return torch.stack(losses).mean()
