"""Convolutions rewritten so that less is computed and the same comes out."""

import copy
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.bfv2v.blocks import SpectralConv2d

Whole = TypeVar("Whole", bound=nn.Module)


class Place(NamedTuple):
    """Where weights lie, and in what type."""

    device: torch.device
    dtype: torch.dtype


class Conv(NamedTuple):
    """A convolution that keeps the size: weight [out,in,...], bias [out].

    times: of a picture whose pixels are shown `times` x `times` times; with its weight folded by
    `shown` the picture itself is enough, and the depth of a volume stays. rows, planes: how many
    of the kernel's rows and depths are outputs, to be put together afterwards; 0: none.
    """

    weight: Tensor
    bias: Tensor
    times: int = 1
    rows: int = 0
    planes: int = 0

    def to(self, place: Place) -> "Conv":
        """On a device, the weight rounded and with its channels last, the bias in float32."""
        weight = self.weight.to(*place).contiguous(memory_format=_last(self.weight))
        return self._replace(weight=weight, bias=self.bias.to(place.device, torch.float32))

    def __call__(self, x: Tensor) -> Tensor:
        """Factors in the weight's type, sums and what comes out [B,out,...] in float32."""
        made = self.raw(x.transpose(1, 2).flatten(0, 1) if self.planes else x).float()
        count, size = len(self.bias), made.shape[-2:]
        if self.rows:
            used = max(1, self.planes) * count
            made = _sum(made[:, : self.rows * used].reshape(-1, self.rows, used, *size), 3)
        if self.planes:
            split = made.view(len(x), -1, self.planes, count, *size).transpose(1, 2)
            made = _sum(split, 2).transpose(1, 2)
        return made + self.bias.view(-1, *[1] * (made.dim() - 2))

    def relu(self, x: Tensor) -> Tensor:
        """What is above 0, rounded to the weight's type."""
        return functional.relu(self(x)).to(self.weight.dtype)

    def raw(self, x: Tensor) -> Tensor:
        """The convolution alone, as rounded as its weight."""
        weight = self.weight
        if self.times == 1 and (more := weight.shape[1] - x.shape[1]):
            x = functional.pad(x, (0,) * (2 * x.dim() - 3) + (more,))
        x = x.to(weight.dtype, memory_format=_last(weight))
        if x.device.type == "cpu" and weight.dtype is not torch.float32:
            # As a GPU does: factors rounded, sums in float32. The CPU's own take minutes.
            return _convolved(x.float(), weight.float(), self.times).to(weight.dtype)
        return _convolved(x, weight, self.times)


def _sum(parts: Tensor, axis: int) -> Tensor:
    """Of parts [N,taps,...] the sum over the taps, each moved along an axis to where it is due."""
    taps, size = parts.shape[1], parts.shape[axis]
    ends = [0] * 2 * (parts.dim() - axis)
    ends[-2:] = [taps // 2] * 2
    around = functional.pad(parts, ends)
    total = around[:, 0].narrow(axis - 1, 0, size)
    for tap in range(1, taps):
        total = total + around[:, tap].narrow(axis - 1, tap, size)
    return total


def _last(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def _convolved(x: Tensor, weight: Tensor, times: int) -> Tensor:
    volume = x.dim() == 5
    if times > 1:
        widened = functional.conv_transpose3d if volume else functional.conv_transpose2d
        return widened(x, weight, stride=(1, times, times) if volume else times, padding=1)
    apply = functional.conv3d if volume else functional.conv2d
    return apply(x, weight, padding=[size // 2 for size in weight.shape[2:]])


def plain(conv: nn.Conv2d | nn.Conv3d | SpectralConv2d) -> Conv:
    """In float64, so that what follows loses nothing; spectral norms worked out."""
    weight = conv.weight() if isinstance(conv, SpectralConv2d) else conv.weight
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias
    return Conv(weight.double(), bias.double())


def with_norm(conv: nn.Conv2d | nn.Conv3d, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> Conv:
    """A convolution and the batch norm after it."""
    assert norm.running_mean is not None and norm.running_var is not None
    made = plain(conv)
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    moved = (made.bias - norm.running_mean.double()) * scale + norm.bias.double()
    return Conv(made.weight * scale.view(-1, *[1] * (made.weight.dim() - 1)), moved)


def padded(conv: Conv, *, inputs: int = 1, outputs: int = 1) -> Conv:
    """With inputs and outputs that are zero, up to multiples: tensor cores have tiles to fill."""
    more = -len(conv.weight) % outputs, -conv.weight.shape[1] % inputs
    rest = [0] * 2 * (conv.weight.dim() - 2)
    weight = functional.pad(conv.weight, (*rest, 0, more[1], 0, more[0]))
    return Conv(weight, functional.pad(conv.bias, (0, more[0])))


def beside(*convs: Conv) -> Conv:
    """Convolutions of the same input as one, their outputs one after the other."""
    return Conv(torch.cat([c.weight for c in convs]), torch.cat([c.bias for c in convs]))


def after(first: Conv, second: Conv) -> Conv:
    """A convolution and a 1x1 convolution of its output as one."""
    mixing = second.weight.flatten(1)
    weight = torch.einsum("om,mcyx->ocyx", mixing, first.weight)
    return Conv(weight, mixing @ first.bias + second.bias)


def shown(conv: Conv, times: int) -> Conv:
    """A 3x3 convolution (3x3x3) of a picture shown `times` x `times` times, of the picture itself.

    Such a picture is a transposed convolution with a box; that and a convolution are one with a
    kernel of `times` + 2, of which a pixel meets 2x2 taps a place instead of 3x3.
    """
    if times == 1:
        return conv
    # A transposed convolution counts its taps backwards, and its inputs first.
    flipped = conv.weight.flip(*range(2, conv.weight.dim())).transpose(0, 1)
    rows = flipped.flatten(0, -3)[:, None]
    box = rows.new_ones(1, 1, times, times)
    wide = functional.conv2d(rows, box, padding=times - 1)
    return Conv(wide.view(*flipped.shape[:-2], *wide.shape[2:]), conv.bias, times)


def by_planes(conv: Conv) -> Conv:
    """Of [out,in,d,h,w]: the depths of the kernel as outputs of a convolution of planes."""
    weight = conv.weight.permute(2, 0, 1, 3, 4)
    return conv._replace(weight=weight.flatten(0, 1), planes=len(weight))


def by_rows(conv: Conv, *, outputs: int) -> Conv:
    """Of [out,in,h,w]: the rows of the kernel as outputs, filled up to a multiple."""
    weight = conv.weight.permute(2, 0, 1, 3)[:, :, :, None].flatten(0, 1)
    more = -len(weight) % outputs
    weight = functional.pad(weight, (0,) * 7 + (more,))
    return conv._replace(weight=weight, rows=conv.weight.shape[2])


def without(module: Whole, *names: str) -> Whole:
    """A copy without these parts, which are used in another form."""
    return copy.deepcopy(module, {id(getattr(module, name)): nn.Identity() for name in names})
