"""Weights rewritten so that less is computed and the same comes out.

A batch norm at rest is part of its convolution. A 3x3 convolution of a picture whose pixels are
shown k x k times sees few different neighbourhoods, and is a set of smaller convolutions of the
picture itself:

| shown | rows of a pixel | taps on the row before, itself, after |
|---|---|---|
| 2x | first, second | (w0, w1+w2, .), (., w0+w1, w2) |
| 4x | first, two in the middle, last | (w0, w1+w2, .), (., w0+w1+w2, .), (., w0+w1, w2) |

and columns alike. `Conv` holds a weight and its bias.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.generator.blocks import SpectralConv2d

ALIGNED = 8
"""Tensor cores want channels in multiples of this."""
# Rows: the taps of the smaller kernel; columns: w0, w1, w2.
BEFORE = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64)
AFTER = torch.tensor([[1.0, 1, 0], [0, 0, 1]], dtype=torch.float64)
WITHIN = torch.tensor([[1.0, 1, 1]], dtype=torch.float64)


class Place(NamedTuple):
    """Where weights lie, and in what type."""

    device: torch.device
    dtype: torch.dtype


class Conv(NamedTuple):
    """A weight [out,in,...] and a bias [out], ready for torch's convolutions."""

    weight: Tensor
    bias: Tensor

    def to(self, place: Place) -> "Conv":
        """On a device, channels last."""
        last = torch.channels_last if self.weight.dim() == 4 else torch.channels_last_3d
        weight = self.weight.to(place.device, place.dtype).contiguous(memory_format=last)
        return Conv(weight, self.bias.to(place.device, place.dtype))

    def __call__(self, x: Tensor, padding: int | tuple[int, ...] = 0) -> Tensor:
        """The convolution."""
        apply = functional.conv2d if self.weight.dim() == 4 else functional.conv3d
        if x.device.type == "cpu" and x.dtype is not torch.float32:
            # As a GPU does: factors rounded, sums in float32. The CPU's own take minutes.
            wide = apply(x.float(), self.weight.float(), self.bias.float(), padding=padding)
            return wide.to(x.dtype)
        return apply(x, self.weight, self.bias, padding=padding)


def plain(conv: nn.Conv2d | nn.Conv3d | SpectralConv2d) -> Conv:
    """In float64, so that what follows loses nothing; spectral norms worked out."""
    weight = conv.weight() if isinstance(conv, SpectralConv2d) else conv.weight
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias
    return Conv(weight.double(), bias.double())


def with_norm(conv: nn.Conv2d | nn.Conv3d, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> Conv:
    """A convolution and the batch norm after it."""
    weight, bias = plain(conv)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    moved = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    return Conv(weight * scale.view(-1, *[1] * (weight.dim() - 1)), moved)


def aligned(count: int) -> int:
    """The next multiple of `ALIGNED`."""
    return -count % ALIGNED + count


def padded_outputs(conv: Conv) -> Conv:
    """Outputs that are always zero, up to a multiple of `ALIGNED`."""
    more = aligned(len(conv.weight)) - len(conv.weight)
    return Conv(_lengthened(conv.weight, 0, more), _lengthened(conv.bias, 0, more))


def padded_inputs(conv: Conv) -> Conv:
    """Inputs that do not matter, up to a multiple of `ALIGNED`."""
    count = conv.weight.shape[1]
    return Conv(_lengthened(conv.weight, 1, aligned(count) - count), conv.bias)


def beside(*convs: Conv) -> Conv:
    """Convolutions of the same input as one, their outputs one after the other."""
    return Conv(torch.cat([c.weight for c in convs]), torch.cat([c.bias for c in convs]))


def after(first: Conv, second: Conv) -> Conv:
    """A convolution and a 1x1 convolution of its output as one."""
    mixing = second.weight.flatten(1)
    weight = torch.einsum("om,mcyx->ocyx", mixing, first.weight)
    return Conv(weight, mixing @ first.bias + second.bias)


def reduced(conv: Conv, rows: Tensor, columns: Tensor) -> Conv:
    """A 3x3 convolution (the last two axes) as seen from one place in a pixel shown many times."""
    device = conv.weight.device
    weight = torch.einsum("...yx,ay,bx->...ab", conv.weight, rows.to(device), columns.to(device))
    return Conv(weight, conv.bias)


class Doubled:
    """A 3x3 convolution of a picture shown 2x2 times; in a volume the depth stays."""

    def __init__(self, conv: Conv) -> None:
        """All four phases are one 2x2 convolution of the picture with a rim of zeros."""
        self.conv = beside(*(reduced(conv, y, x) for y in (BEFORE, AFTER) for x in (BEFORE, AFTER)))

    def to(self, place: Place) -> "Doubled":
        """On a device."""
        self.conv = self.conv.to(place)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,...,H,W] -> [B,C',...,2H,2W]."""
        volume = x.dim() == 5
        phases = self.conv(functional.pad(x, (1, 1, 1, 1)), (1, 0, 0) if volume else 0)
        return interleaved(phases)


def interleaved(phases: Tensor) -> Tensor:
    """[B,4C,...,H+1,W+1] of phases (before, after) x (before, after) -> [B,C,...,2H,2W].

    Phase `before` of pixel i lies at i, phase `after` at i + 1.
    """
    count = phases.shape[1] // 4
    height, width = phases.shape[-2] - 1, phases.shape[-1] - 1
    made = phases.split(count, 1)  # type: ignore[no-untyped-call]
    placed = [
        made[2 * row + column][..., row : row + height, column : column + width]
        for row in (0, 1)
        for column in (0, 1)
    ]
    return spread(placed, 2)


def spread(placed: list[Tensor], times: int) -> Tensor:
    """Tensors [B,C,...,H,W] for each place in a pixel, row by row -> [B,C,...,times H,times W]."""
    first = placed[0]
    height, width = first.shape[-2:]
    last = torch.channels_last if first.dim() == 4 else torch.channels_last_3d
    out = torch.empty(
        (*first.shape[:-2], times * height, times * width),
        dtype=first.dtype,
        device=first.device,
        memory_format=last,
    )
    for place, tensor in enumerate(placed):
        row, column = divmod(place, times)
        out[..., row::times, column::times] = tensor
    return out


class Fourfold:
    """A 3x3 convolution of a picture shown 4x4 times: nine different results for each pixel."""

    def __init__(self, conv: Conv) -> None:
        edges = (BEFORE, AFTER)
        self.corners = beside(*(reduced(conv, y, x) for y in edges for x in edges))
        self.rows = beside(*(reduced(conv, y, WITHIN) for y in edges))
        self.columns = beside(*(reduced(conv, WITHIN, x) for x in edges))
        self.middle = reduced(conv, WITHIN, WITHIN)

    def to(self, place: Place) -> "Fourfold":
        """On a device."""
        for name in ("corners", "rows", "columns", "middle"):
            setattr(self, name, getattr(self, name).to(place))
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,C',4H,4W]."""
        height, width = x.shape[-2:]
        corner = self.corners(functional.pad(x, (1, 1, 1, 1))).chunk(4, 1)
        row = self.rows(x, (1, 0)).chunk(2, 1)
        column = self.columns(x, (0, 1)).chunk(2, 1)
        middle = self.middle(x)

        def place(y: int, x: int) -> Tensor:
            down, right = int(y == 3), int(x == 3)
            if y in (0, 3) and x in (0, 3):
                part = corner[2 * down + right]
            elif y in (0, 3):
                part = row[down]
            elif x in (0, 3):
                part = column[right]
            else:
                part = middle
            return part[..., down : down + height, right : right + width]

        return spread([place(y, x) for y in range(4) for x in range(4)], 4)


def _lengthened(tensor: Tensor, axis: int, more: int) -> Tensor:
    shape = list(tensor.shape)
    shape[axis] = more
    return torch.cat([tensor, tensor.new_zeros(shape)], axis)
