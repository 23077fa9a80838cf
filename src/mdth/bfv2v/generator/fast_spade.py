"""The SPADE decoder with each layer's modulation in one convolution, and none of it done twice.

Where the picture is larger than the feature, the feature's first convolution is done at the
feature's size (`fold.Doubled`, `fold.Fourfold`). Scale and shift come from one convolution. Where
a 1x1 convolution follows the modulation, the shift goes through it beforehand.
"""

from collections.abc import Callable

from torch import Tensor, channels_last, nn, rsqrt, sigmoid, var_mean
from torch.nn import functional

from mdth.bfv2v.generator import fold
from mdth.bfv2v.generator.fold import Conv, Doubled, Fourfold, Place
from mdth.bfv2v.generator.fused import Fused
from mdth.bfv2v.generator.spade import MIDDLE, SLOPE, Spade, SpadeBlock, SpadeDecoder, twice

EPSILON = 1e-5


class FastSpadeDecoder:
    """As `SpadeDecoder`, for inference."""

    def __init__(self, decoder: SpadeDecoder, place: Place) -> None:
        weight, bias = fold.plain(decoder.fc)
        self.fc, self.dtype = Conv(weight, bias.new_zeros(bias.shape)).to(place), place.dtype
        self.blocks = [
            _Block(decoder.get_submodule(name), times, place)
            for name, times in [
                *((f"G_middle_{index}", 1) for index in range(MIDDLE)),
                ("up_0", 2),
                ("up_1", 4),
            ]
        ]
        self.image = fold.plain(decoder.conv_img).to(place)

    def __call__(self, feature: Tensor) -> Tensor:
        """Feature [B,ic,h,w], float32 -> picture [B,3,4h,4w], float32, in 0..1."""
        x = self.begin(feature)
        feature = feature.to(self.dtype)
        for block in self.blocks:
            x = block(x, feature)
        return sigmoid(self.image(functional.leaky_relu(x, SLOPE), 1).float())

    def begin(self, feature: Tensor) -> Tensor:
        """The first convolution, but for a constant a channel of each picture.

        Every reader of its output takes the mean away. Where the mean is much larger than what
        varies, half precision would round the latter off; so it is taken away before.
        """
        rimmed = functional.pad(feature, (1, 1, 1, 1)) - feature.mean((2, 3), keepdim=True)
        rimmed = rimmed.to(self.dtype, memory_format=channels_last)
        return self.fc(rimmed)


class _Block:
    """A residual block whose picture is `times` the feature's size, and twice its input if above 1.

    A picture shown 2x2 times has the statistics of the picture, which are taken before.
    """

    def __init__(self, block: nn.Module, times: int, place: Place) -> None:
        assert isinstance(block, SpadeBlock)
        self.grows = times > 1
        self.conv_0 = fold.plain(block.conv_0).to(place)
        self.conv_1 = fold.plain(block.conv_1).to(place)
        self.norm_0 = _Modulation(block.norm_0, times, place)
        self.norm_1 = _Modulation(block.norm_1, times, place)
        self.beside: _Modulation | None = None
        if block.widens:
            mixing = fold.plain(block.conv_s)
            self.conv_s = mixing.to(place)
            self.beside = _Modulation(block.norm_s, times, place, mixing=mixing)

    def __call__(self, x: Tensor, feature: Tensor) -> Tensor:
        mean, deviation = statistics(x)
        if self.beside is None:
            beside = x
        else:
            scale, shift = self.beside(feature)
            beside = self.conv_s(scaled(x, mean, deviation, scale, self.grows)) + shift
        scale, shift = self.norm_0(feature)
        inner = self.conv_0(modulated(x, mean, deviation, scale, shift, self.grows), 1)
        scale, shift = self.norm_1(feature)
        return beside + self.conv_1(modulated(inner, *statistics(inner), scale, shift, False), 1)


class _Modulation:
    """Scale, with its 1 added, and shift for each place."""

    def __init__(
        self, norm: Spade, times: int, place: Place, *, mixing: Conv | None = None
    ) -> None:
        shared = norm.mlp_shared[0]
        assert isinstance(shared, nn.Conv2d)
        gamma, beta = fold.plain(norm.mlp_gamma), fold.plain(norm.mlp_beta)
        if mixing is not None:
            beta = fold.after(beta, mixing)
        self.scales = len(gamma.weight)
        self.both = fold.beside(Conv(gamma.weight, gamma.bias + 1), beta).to(place)
        kinds: dict[int, Callable[[Conv], Conv | Doubled | Fourfold]] = {
            1: lambda conv: conv,
            2: Doubled,
            4: Fourfold,
        }
        self.shared = kinds[times](fold.plain(shared)).to(place)

    def __call__(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.shared(feature, 1) if isinstance(self.shared, Conv) else self.shared(feature)
        both = self.both(functional.relu_(hidden), 1)
        return both[:, : self.scales], both[:, self.scales :]


@Fused
def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and one over the deviation of each channel of each picture, [B,C,1,1], float32."""
    variance, mean = var_mean(x.float(), (2, 3), correction=0, keepdim=True)
    return mean, rsqrt(variance + EPSILON)


@Fused
def scaled(x: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor, grows: bool) -> Tensor:
    """Normalised, shown 2x2 times if it grows, and scaled place by place; in x's type."""
    even = (x.float() - mean) * deviation
    return ((twice(even) if grows else even) * scale.float()).to(x.dtype)


@Fused
def modulated(
    x: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor, shift: Tensor, grows: bool
) -> Tensor:
    """As `scaled`, then shifted place by place, then leaky."""
    even = (x.float() - mean) * deviation
    moved = (twice(even) if grows else even) * scale.float() + shift.float()
    return functional.leaky_relu(moved, SLOPE).to(x.dtype)
