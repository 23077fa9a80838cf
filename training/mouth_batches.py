"""Batches for the mouth network: people in fair shares, each sample moved and relit at random."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mdth.embedded.render.conditions import CHANNELS

# Share of each batch by set: one man has nearly all the video, many people the stills.
SHARES = {"s1": 0.3, "london": 0.2, "generated": 0.15, "opened": 0.35}
# Planes that are colours: face, drawing, tooth, what to paint.
COLOURS = (0, 4, 11, CHANNELS)
# Those the portrait's eyes and skin only guess at.
GUESSED = (4, 11)
# Standard deviations of the logarithm of a random bend (see `mdth.embedded.render.tone`).
LIGHT, CAST, GUESS = 0.35, 0.15, 0.12


class Banks:
    """Samples on the device, drawn by set; those of `opened` in pairs of near openings."""

    def __init__(self, samples: dict[str, npt.NDArray[np.float16]], device: str) -> None:
        self._samples = {name: torch.from_numpy(s).to(device) for name, s in samples.items()}
        self.pairs = 0

    def draw(self, count: int) -> Tensor:
        """A batch [about count,17,h,w], float32, changed at random.

        The last `2 * pairs` samples are pairs, changed alike.
        """
        total = sum(SHARES[name] for name in self._samples)
        parts: list[Tensor] = []
        self.pairs = 0
        for name, samples in sorted(self._samples.items(), key=lambda item: item[0] == "opened"):
            number = max(1, round(count * SHARES[name] / total))
            device = samples.device
            if name == "opened":
                self.pairs = max(1, number // 2)
                first = 2 * torch.randint(len(samples) // 2, (self.pairs,), device=device)
                parts.append(samples[torch.stack([first, first + 1], 1).flatten()])
            else:
                parts.append(samples[torch.randint(len(samples), (number,), device=device)])
        batch = torch.cat(parts).float()
        alike = torch.arange(len(batch), device=batch.device)
        if self.pairs:
            alike[-2 * self.pairs + 1 :: 2] -= 1
        return relight(jitter(batch, alike), alike)


def jitter(batch: Tensor, alike: Tensor) -> Tensor:
    """Each sample shifted by up to 5 % and scaled by up to 15 %; its planes' values stay true.

    alike [B]: the number of the sample whose random numbers each one gets.
    """
    count, device = len(batch), batch.device
    scale = torch.exp(torch.empty(count, device=device).uniform_(-0.15, 0.15))[alike]
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-0.1, 0.1)[alike]
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    # Plane 10 tells picture px per px here.
    moved[:, 10] += torch.log2(scale)[:, None, None] / 2
    return moved


def relight(batch: Tensor, alike: Tensor) -> Tensor:
    """The same change of light, contrast and cast for all colours of a sample.

    Then another small one for the drawing and the tooth colour, which are guesses at runtime.
    """
    count, device = len(batch), batch.device

    def random(deviation: float, channels: int) -> Tensor:
        return torch.randn(count, channels, 1, 1, device=device)[alike] * deviation

    bend = torch.exp(random(LIGHT, 1) + random(CAST, 3))
    guess = torch.exp(random(GUESS, 1) + random(GUESS / 2, 3))
    # Some cross-talk between the channels: one man's camera must not be known by its colours.
    mix = torch.eye(3, device=device) + 0.1 * (
        2 * torch.rand(count, 3, 3, device=device)[alike] - 1
    )
    mix = mix / mix.sum(2, keepdim=True)
    out = batch.clone()
    for start in COLOURS:
        colour = ((batch[:, start : start + 3] + 1) / 2).clamp(0, 1)
        curve = bend * guess if start in GUESSED else bend
        colour = torch.einsum("bij,bjhw->bihw", mix, colour / (colour + curve * (1 - colour)))
        out[:, start : start + 3] = colour.clamp(0, 1) * 2 - 1
    return out
