"""Batches for the mouth network: people in fair shares, each sample moved and relit at random."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

# Share of each batch by set: one man has nearly all the video, many people the stills.
SHARES = {"s1": 0.35, "london": 0.25, "generated": 0.2, "opened": 0.2}


class Banks:
    """Samples on the device, drawn by set."""

    def __init__(self, samples: dict[str, npt.NDArray[np.float16]], device: str) -> None:
        self._samples = {name: torch.from_numpy(s).to(device) for name, s in samples.items()}

    def draw(self, count: int) -> Tensor:
        """A batch [about count,18,h,w], float32, with its light changed at random.

        The set `opened` comes last; `real` says how many samples are before it.
        """
        shares = {name: SHARES[name] for name in self._samples}
        total = sum(shares.values())
        self.real = count
        parts: list[Tensor] = []
        for name, samples in sorted(self._samples.items(), key=lambda item: item[0] == "opened"):
            number = max(1, round(count * shares[name] / total))
            if name == "opened":
                self.real = sum(len(part) for part in parts)
            parts.append(samples[torch.randint(len(samples), (number,), device=samples.device)])
        return relight(jitter(torch.cat(parts).float()))


def jitter(batch: Tensor) -> Tensor:
    """Each sample shifted by up to 5 % and scaled by up to 15 %; its planes' values stay true."""
    count, device = len(batch), batch.device
    scale = torch.exp(torch.empty(count, device=device).uniform_(-0.15, 0.15))
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-0.1, 0.1)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    # Plane 10 tells picture px per px here.
    moved[:, 10] += torch.log2(scale)[:, None, None] / 2
    return moved


def relight(batch: Tensor) -> Tensor:
    """The same change of brightness, contrast and tint for all colours of a sample."""
    count, device = len(batch), batch.device
    gain = torch.empty(count, 1, 1, 1, device=device).uniform_(0.7, 1.25)
    tint = torch.empty(count, 3, 1, 1, device=device).uniform_(0.93, 1.07)
    bend = torch.empty(count, 1, 1, 1, device=device).uniform_(0.85, 1.15)
    # Some cross-talk between the channels: one man's camera must not be known by its colours.
    mix = torch.eye(3, device=device) + torch.empty(count, 3, 3, device=device).uniform_(-0.1, 0.1)
    mix = mix / mix.sum(2, keepdim=True)
    out = batch.clone()
    for start in (0, 4, 11, 15):
        colour = (batch[:, start : start + 3] + 1).clamp(1e-3, 2) / 2
        colour = torch.einsum("bij,bjhw->bihw", mix, colour**bend) * gain * tint
        out[:, start : start + 3] = colour.clamp(0, 1) * 2 - 1
    return out
