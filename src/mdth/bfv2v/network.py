"""The generator's parts under the names of its published checkpoint; `fast` runs them."""

from typing import cast

from torch import Tensor, nn

from mdth.bfv2v.blocks import DownBlock, ResBlock3d, SameBlock, SpectralConv2d
from mdth.bfv2v.config import DecoderConfig, GeneratorConfig
from mdth.bfv2v.motion import DenseMotion

SLOPE = 0.2
MIDDLE = 6
"""Residual blocks at the feature's own size."""


class Generator(nn.Module):
    """A source picture, its landmarks and the driving ones -> the picture that they show.

    Holds the parameters; the paper's own order of operations is `tests.support.generator_plain`.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [
            min(config.max_features, config.block_expansion * 2**level)
            for level in range(config.num_down_blocks + 1)
        ]
        volume = config.reshape_channel * config.reshape_depth
        self.dense_motion_network = DenseMotion(config)
        self.first = SameBlock(config.image_channel, config.block_expansion, slope=0.0)
        self.down_blocks = nn.ModuleList(
            DownBlock(a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.second = nn.Conv2d(widths[-1], volume, 1)
        self.resblocks_3d = nn.Sequential()
        for index in range(config.num_resblocks):
            self.resblocks_3d.add_module(f"3dr{index}", ResBlock3d(config.reshape_channel))
        self.third = SameBlock(volume, widths[-1], slope=0.01)
        self.fourth = nn.Conv2d(widths[-1], widths[-1], 1)
        self.decoder = SpadeDecoder(config.decoder, image_channel=config.image_channel)

    def volume(self, source: Tensor) -> Tensor:
        """The feature volume [B,C,D,h,w] of a source picture [B,3,H,W] in 0..1."""
        x = self.first(source)
        for block in self.down_blocks:
            x = block(x)
        shape = (self.config.reshape_channel, self.config.reshape_depth)
        out: Tensor = self.resblocks_3d(self.second(x).unflatten(1, shape))
        return out


class Spade(nn.Module):
    """Instance norm without weights of its own, scaled and shifted place by place."""

    def __init__(self, channels: int, config: DecoderConfig) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(
            nn.Conv2d(config.label_nc, config.nhidden, 3, padding=1), nn.ReLU()
        )
        self.mlp_gamma = nn.Conv2d(config.nhidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(config.nhidden, channels, 3, padding=1)


class SpadeBlock(nn.Module):
    """Two modulated 3x3 convolutions; a modulated 1x1 beside them where the width changes."""

    def __init__(self, inputs: int, outputs: int, config: DecoderConfig) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = SpectralConv2d(inputs, middle, 3)
        self.conv_1 = SpectralConv2d(middle, outputs, 3)
        self.norm_0 = Spade(inputs, config)
        self.norm_1 = Spade(middle, config)
        self.widens = inputs != outputs
        if self.widens:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, config)


class SpadeDecoder(nn.Module):
    """Feature [B,ic,h,w] -> picture [B,3,4h,4w] in 0..1."""

    def __init__(self, config: DecoderConfig, *, image_channel: int) -> None:
        super().__init__()
        wide = 2 * config.ic
        self.fc = nn.Conv2d(config.ic, wide, 3, padding=1)
        for index in range(MIDDLE):
            self.add_module(f"G_middle_{index}", SpadeBlock(wide, wide, config))
        self.up_0 = SpadeBlock(wide, config.ic, config)
        self.up_1 = SpadeBlock(config.ic, config.oc, config)
        self.conv_img = nn.Conv2d(config.oc, image_channel, 3, padding=1)

    def middle(self, index: int) -> SpadeBlock:
        """One of the blocks at the feature's own size."""
        return cast(SpadeBlock, self.get_submodule(f"G_middle_{index}"))
