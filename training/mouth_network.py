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

# Numbers that say whose mouth it is.
CODE = 16


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


class UNet(nn.Module):
    """A small U-net at half, quarter and eighth size, styled by a code, its last layer zero.

    Planes [B,C,h,w] and a code [B,K] -> [B,out,h,w]; h and w multiples of 8.
    widths: channels at the three sizes; deep: blocks at the last.
    """

    def __init__(
        self, channels: int, out: int, code: int, *, widths: tuple[int, int, int], deep: int = 3
    ) -> None:
        super().__init__()
        a, b, c = widths
        self.enter = nn.Conv2d(4 * channels, a, 3, padding=1)
        self.down_b = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.at_b = Residual(b)
        self.down_c = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.at_c = nn.Sequential(*(Residual(c) for _ in range(deep)))
        self.up_b = nn.Conv2d(c, b, 1)
        self.merge_b = Residual(b)
        self.up_a = nn.Conv2d(b, a, 1)
        self.merge_a = nn.Conv2d(a, a, 3, padding=1)
        self.leave = nn.Conv2d(a, 4 * out, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        self.by_code = nn.ModuleList(nn.Linear(code, 2 * width, bias=False) for width in widths)

    def forward(self, planes: Tensor, code: Tensor) -> Tensor:
        """See the class."""
        ways = [layer(code)[:, :, None, None].chunk(2, 1) for layer in self.by_code]
        # A 3x3 convolution of all four pixels of a place is one of 6x6 in steps of 2.
        kernel = functional.pixel_shuffle(self.enter.weight, 2)
        a = functional.conv2d(planes, kernel, self.enter.bias, stride=2, padding=2)
        b = self.at_b(self.down_b(functional.silu(a)))
        c = _styled(self.down_c(functional.silu(b)), ways[2])
        b = self.merge_b(_styled(b + _twice(self.up_b(self.at_c(c))), ways[1]))
        a = self.merge_a(functional.silu(_styled(a + _twice(self.up_a(b)), ways[0])))
        return functional.pixel_shuffle(self.leave(functional.silu(a)), 2)


class MouthNetwork(UNet):
    """Conditions [B,14,h,w] -> colours of the cut-out [B,3,h,w], -1..1; h and w multiples of 8.

    It corrects the drawn inside (channels 4..6) and, around it, the warped face (0..2), so an
    untrained network shows those. Colours are relative to the skin (`render.tone`). What no picture
    of shut lips tells, whose teeth are behind them, is a code: learnt for every person of the
    training (as in Bojanowski et al. 2018, arXiv 1707.05776), and one for all where the network is
    used.
    """

    code: Tensor

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 104)) -> None:
        super().__init__(CHANNELS, 3, CODE, widths=widths)
        self.register_buffer("code", torch.zeros(1, CODE))

    def forward(self, conditions: Tensor, code: Tensor | None = None) -> Tensor:
        """See the class; code [B,16]: whose mouth, its own where none is given."""
        inside = conditions[:, 3:4]
        base = conditions[:, :3] * (1 - inside) + conditions[:, 4:7] * inside
        return base + super().forward(conditions, self.code if code is None else code)

    @torch.no_grad()
    def paint(self, planes: npt.NDArray[np.float32], tone: Tone) -> npt.NDArray[np.float32]:
        """Conditions [14,h,w] -> colours RGB float32 0..255 [3,h,w], as `render.mouth_network`."""
        return finished(self(torch.from_numpy(planes)[None])[0].numpy(), planes, tone)


def _styled(x: Tensor, way: tuple[Tensor, ...]) -> Tensor:
    return x * (1 + way[0]) + way[1]


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Critic(nn.Module):
    """Says how real each patch of a mouth looks: face and mask [B,4,h,w] -> features, scores."""

    def __init__(self, width: int = 64) -> None:
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
