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

import copy
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.blocks import SpectralConv2d

Whole = TypeVar("Whole", bound=nn.Module)
ALIGNED = 8
"""Tensor cores want channels in multiples of this."""
# Rows: the taps of the smaller kernel; columns: w0, w1, w2.
BEFORE = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64)
AFTER = torch.tensor([[1.0, 1, 0], [0, 0, 1]], dtype=torch.float64)
WITHIN = torch.tensor([[0.0, 0, 0], [1, 1, 1]], dtype=torch.float64)


class Place(NamedTuple):
    """Where weights lie, and in what type."""

    device: torch.device
    dtype: torch.dtype


class Conv(NamedTuple):
    """A weight [out,in,...], ready for torch's convolutions, and a bias [out]."""

    weight: Tensor
    bias: Tensor

    def to(self, place: Place) -> "Conv":
        """On a device, the weight with its channels last, the bias in float32."""
        last = torch.channels_last if self.weight.dim() == 4 else torch.channels_last_3d
        weight = self.weight.to(place.device, place.dtype).contiguous(memory_format=last)
        return Conv(weight, self.bias.to(place.device, torch.float32))

    def raw(self, x: Tensor, padding: int | tuple[int, int] = 0) -> Tensor:
        """The convolution without its bias: on a GPU that would be a pass of its own."""
        if self.weight.shape[2:] == (1, 1):
            mixed = functional.linear(x.movedim(1, -1), self.weight.flatten(1))
            return mixed.movedim(-1, 1)
        apply = functional.conv2d if self.weight.dim() == 4 else functional.conv3d
        if x.device.type == "cpu" and x.dtype is not torch.float32:
            # As a GPU does: factors rounded, sums in float32. The CPU's own take minutes.
            return apply(x.float(), self.weight.float(), padding=padding).to(x.dtype)
        return apply(x, self.weight, padding=padding)


def plain(conv: nn.Conv2d | nn.Conv3d | SpectralConv2d) -> Conv:
    """In float64, so that what follows loses nothing; spectral norms worked out."""
    weight = conv.weight() if isinstance(conv, SpectralConv2d) else conv.weight
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias
    return Conv(weight.double(), bias.double())


def unbiased(weight: Tensor) -> Conv:
    """Without a bias."""
    return Conv(weight, weight.new_zeros(len(weight)))


def with_norm(conv: nn.Conv2d | nn.Conv3d, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> Conv:
    """A convolution and the batch norm after it."""
    weight, bias = plain(conv)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    moved = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    return Conv(weight * scale.view(-1, *[1] * (weight.dim() - 1)), moved)


def padded_outputs(conv: Conv, multiple: int = ALIGNED) -> Conv:
    """Outputs that are always zero, up to a multiple."""
    more = -len(conv.weight) % multiple
    return Conv(_lengthened(conv.weight, 0, more), _lengthened(conv.bias, 0, more))


def padded_inputs(conv: Conv, multiple: int = ALIGNED) -> Conv:
    """Inputs that do not matter, up to a multiple."""
    more = -conv.weight.shape[1] % multiple
    return Conv(_lengthened(conv.weight, 1, more), conv.bias)


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


class Shown:
    """A 3x3 convolution of a picture shown k x k times, k 2 or 4; in a volume the depth stays.

    All phases are one 2x2 convolution of the picture with a rim of zeros: phase `before` of a
    pixel lies at the pixel's place, `within` too, `after` one place on (`chains.shown`).
    """

    def __init__(self, conv: Conv, times: int) -> None:
        self.bias = conv.bias
        phases = (BEFORE, AFTER) if times == 2 else (BEFORE, WITHIN, AFTER)
        self.conv = beside(*(reduced(conv, y, x) for y in phases for x in phases))

    def to(self, place: Place) -> "Shown":
        """On a device."""
        self.conv = self.conv.to(place)
        self.bias = self.bias.to(place.device, torch.float32)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,...,H,W] -> phases [B,4 or 9 times C',...,H+1,W+1], without the bias."""
        return self.conv.raw(x, 1)


def without(module: Whole, *names: str) -> Whole:
    """A copy without these parts, which are used in another form."""
    return copy.deepcopy(module, {id(getattr(module, name)): nn.Identity() for name in names})


def _lengthened(tensor: Tensor, axis: int, more: int) -> Tensor:
    shape = list(tensor.shape)
    shape[axis] = more
    return torch.cat([tensor, tensor.new_zeros(shape)], axis)
