"""The SPADE decoder with fewer convolutions, and nothing done twice.

Where the picture is larger than the feature, the feature's first convolution is done at the
feature's size (`fold.Shown`); all blocks of a size have it in one. Scale and shift come from one
convolution, but before a 1x1 convolution: there the shift goes through that one beforehand, and the
two are apart, since their outputs together fill the tiles of the library's kernels badly. A
constant of a channel that goes into a normalisation is left out.
"""

from collections.abc import Iterator
from typing import cast

from torch import Tensor, channels_last, nn
from torch.nn import functional

from mdth.bfv2v import chains, fold
from mdth.bfv2v.fold import Conv, Place, Shown
from mdth.bfv2v.spade import MIDDLE, SLOPE, Spade, SpadeBlock, SpadeDecoder

COLOURS = 3


class FastSpadeDecoder:
    """As `SpadeDecoder`, for inference."""

    def __init__(self, decoder: SpadeDecoder, place: Place) -> None:
        self.fc, self.dtype = fold.plain(decoder.fc).to(place), place.dtype
        self.sizes = [
            _Size([decoder.middle(index) for index in range(MIDDLE)], 1, place),
            _Size([decoder.up_0], 2, place),
            _Size([decoder.up_1], 4, place),
        ]
        self.image = fold.padded_outputs(fold.plain(decoder.conv_img)).to(place)

    def __call__(self, feature: Tensor) -> Tensor:
        """Feature [B,ic,h,w], float32 -> picture [B,3,4h,4w], float32, in 0..1."""
        x = self.begin(feature)
        feature = feature.to(self.dtype, memory_format=channels_last)
        for size in self.sizes:
            x = size(x, feature)
        seen = self.image.raw(functional.leaky_relu_(x, SLOPE), 1)
        return chains.picture(seen, self.image.bias[:COLOURS])

    def begin(self, feature: Tensor) -> Tensor:
        """The first convolution, but for a constant a channel of each picture.

        Every reader of its output takes the mean away. Where the mean is much larger than what
        varies, half precision would round the latter off; so it is taken away before.
        """
        rimmed = functional.pad(feature, (1, 1, 1, 1)) - feature.mean((2, 3), keepdim=True)
        return self.fc.raw(rimmed.to(self.dtype, memory_format=channels_last))


class _Size:
    """Residual blocks of a picture `times` the feature's size, and twice its input if above 1."""

    def __init__(self, blocks: list[SpadeBlock], times: int, place: Place) -> None:
        self.times = times
        norms = [norm for block in blocks for norm in _norms(block)]
        self.each = norms[0].mlp_gamma.in_channels
        shared = fold.beside(*(fold.plain(cast(nn.Conv2d, norm.mlp_shared[0])) for norm in norms))
        self.shared = (shared if times == 1 else Shown(shared, times)).to(place)
        self.blocks = [_Block(block, times, place) for block in blocks]

    def __call__(self, x: Tensor, feature: Tensor) -> Tensor:
        """The next picture."""
        hidden = self.hidden(feature)
        for block in self.blocks:
            x = block(x, hidden)
        return x

    def hidden(self, feature: Tensor) -> Iterator[Tensor]:
        """What each modulation sees of the feature, in the order of the blocks' `_norms`."""
        biases = self.shared.bias.split(self.each)  # type: ignore[no-untyped-call]
        if isinstance(self.shared, Shown):
            phases = self.shared(feature)
            for number, bias in enumerate(biases):
                yield chains.shown(phases, bias, self.times, number * self.each)
            return
        seen = self.shared.raw(feature, 1)
        for part, bias in zip(seen.split(self.each, 1), biases, strict=True):  # type: ignore[no-untyped-call]
            yield chains.rectified(part, bias)


def _scale(norm: Spade) -> Conv:
    """With the 1 added."""
    gamma = fold.plain(norm.mlp_gamma)
    return Conv(gamma.weight, gamma.bias + 1)


def _both(norm: Spade) -> Conv:
    """Scales and shifts."""
    return fold.beside(_scale(norm), fold.plain(norm.mlp_beta))


class _Block:
    """A residual block. A picture shown 2x2 times has the picture's own statistics."""

    def __init__(self, block: SpadeBlock, times: int, place: Place) -> None:
        self.times = 1 if times == 1 else 2
        # Its bias is a constant before a normalisation.
        self.conv_0 = fold.plain(block.conv_0).to(place)
        self.conv_1 = fold.plain(block.conv_1).to(place)
        self.norm_0 = _both(block.norm_0).to(place)
        self.norm_1 = _both(block.norm_1).to(place)
        self.widens, self.bias = block.widens, self.conv_1.bias
        if block.widens:
            mixing = fold.plain(block.conv_s)
            self.conv_s = mixing.to(place)
            self.scale = _scale(block.norm_s).to(place)
            self.shift = fold.after(fold.plain(block.norm_s.mlp_beta), mixing).to(place)
            self.bias = self.bias + self.shift.bias

    def __call__(self, x: Tensor, hidden: Iterator[Tensor]) -> Tensor:
        found = chains.statistics(x)
        if not self.widens:
            return chains.added(x, self._inner(x, found, hidden), self.bias)
        seen = next(hidden)
        scale, shift = self.scale.raw(seen, 1), self.shift.raw(seen, 1)
        even = chains.scaled(x, *found, scale, self.scale.bias, self.times)
        beside = self.conv_s.raw(even)
        inner = self._inner(x, found, hidden)
        return chains.added_with_shift(beside, shift, inner, self.bias)

    def _inner(self, x: Tensor, found: tuple[Tensor, Tensor], hidden: Iterator[Tensor]) -> Tensor:
        both = self.norm_0.raw(next(hidden), 1)
        inner = self.conv_0.raw(chains.modulated(x, *found, both, self.norm_0.bias, self.times), 1)
        found, both = chains.statistics(inner), self.norm_1.raw(next(hidden), 1)
        return self.conv_1.raw(chains.modulated(inner, *found, both, self.norm_1.bias, 1), 1)


def _norms(block: SpadeBlock) -> list[Spade]:
    """In the order in which they are needed."""
    return [*([block.norm_s] if block.widens else []), block.norm_0, block.norm_1]
