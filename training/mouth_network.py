"""The mouth network and its critic."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from mdth.embedded.render.conditions import CHANNELS
from mdth.embedded.render.mouth_network import finished
from mdth.embedded.render.tone import Tone


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,h,w] -> the same."""
        out: Tensor = x + self.second(functional.silu(self.first(functional.silu(x))))
        return out


class MouthNetwork(nn.Module):
    """Conditions [B,14,h,w] -> colours inside the lips [B,3,h,w], -1..1; h and w multiples of 8.

    A small U-net at half, quarter and eighth size. It corrects the drawn inside (channels 4..6), so
    an untrained network shows the drawing. Colours are relative to the skin (`render.tone`).
    """

    def __init__(self, widths: tuple[int, int, int] = (24, 40, 80)) -> None:
        super().__init__()
        a, b, c = widths
        self.enter = nn.Conv2d(4 * CHANNELS, a, 3, padding=1)
        self.down_b = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.at_b = Residual(b)
        self.down_c = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.at_c = nn.Sequential(Residual(c), Residual(c))
        self.up_b = nn.Conv2d(c, b, 1)
        self.merge_b = Residual(b)
        self.up_a = nn.Conv2d(b, a, 1)
        self.merge_a = nn.Conv2d(a, a, 3, padding=1)
        self.leave = nn.Conv2d(a, 12, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, conditions: Tensor) -> Tensor:
        """See the class."""
        a = self.enter(functional.pixel_unshuffle(conditions, 2))
        b = self.at_b(self.down_b(functional.silu(a)))
        c = self.at_c(self.down_c(functional.silu(b)))
        b = self.merge_b(b + _twice(self.up_b(c)))
        a = self.merge_a(functional.silu(a + _twice(self.up_a(b))))
        change = functional.pixel_shuffle(self.leave(functional.silu(a)), 2)
        return conditions[:, 4:7] + change

    @torch.no_grad()
    def paint(self, planes: npt.NDArray[np.float32], tone: Tone) -> npt.NDArray[np.float32]:
        """Conditions [14,h,w] -> colours RGB float32 0..255 [h,w,3], as `render.mouth_network`."""
        inside = self(torch.from_numpy(planes)[None])[0].permute(1, 2, 0).numpy()
        return np.asarray(tone.absolute(finished(inside, planes)), np.float32)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Critic(nn.Module):
    """Says how real each patch of a mouth looks: face and mask [B,4,h,w] -> features, scores."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        sizes = [4, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(i, o, 4, stride=2, padding=1))
            for i, o in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.score = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of each layer, then patch scores [B,1,h/8,w/8]."""
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return features, self.score(x)
