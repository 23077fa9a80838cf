"""Small parts of the generator. Attribute names are those of the published state dicts."""

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-12


class SameBlock(nn.Module):
    """3x3 convolution, batch norm, leaky ReLU: [B,C,H,W] -> [B,C',H,W]."""

    def __init__(self, inputs: int, outputs: int, *, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        return functional.leaky_relu(self.norm(self.conv(x)), self.slope)


class DownBlock(nn.Module):
    """3x3 convolution, batch norm, ReLU, mean over 2x2: half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        return functional.avg_pool2d(functional.relu(self.norm(self.conv(x))), 2)


class ResBlock3d(nn.Module):
    """Norm, ReLU, convolution, twice, added to the input [B,C,D,H,W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        inner = self.conv1(functional.relu(self.norm1(x)))
        out: Tensor = x + self.conv2(functional.relu(self.norm2(inner)))
        return out


class VolumeBlock(nn.Module):
    """3x3x3 convolution and batch norm of [B,C,D,H,W], before a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its largest singular value (Miyato et al. 2018).

    The weight as a matrix has one row for each output channel; `weight_u` and `weight_v` are the
    running estimates of its singular vectors, moved by one power iteration a training step.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, bias: bool = True) -> None:
        super().__init__()
        made = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
        self.padding = size // 2
        self.bias = made.bias
        self.weight_orig = made.weight
        rows = made.weight.flatten(1)
        # Equal numbers: random ones would make torch import sympy for a network without weights.
        for name, count in {"weight_u": len(rows), "weight_v": rows.shape[1]}.items():
            self.register_buffer(name, rows.new_full((count,), count**-0.5))

    def weight(self) -> Tensor:
        """The normalised weight [out,in,k,k], in float32 also where training is autocast."""
        if self.training:
            with torch.autocast(self.weight_orig.device.type, enabled=False):
                with torch.no_grad():
                    rows = self.weight_orig.flatten(1)
                    self.weight_v = _unit(rows.T @ self.weight_u)
                    self.weight_u = _unit(rows @ self.weight_v)
                return self._weight()
        return self._weight()

    def _weight(self) -> Tensor:
        sigma = torch.dot(self.weight_u, self.weight_orig.flatten(1) @ self.weight_v)
        return self.weight_orig / sigma

    def forward(self, x: Tensor) -> Tensor:
        """The convolution."""
        return functional.conv2d(x, self.weight(), self.bias, padding=self.padding)


def _unit(vector: Tensor) -> Tensor:
    return functional.normalize(vector, dim=0, eps=EPSILON)
