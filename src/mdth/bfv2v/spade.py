"""The picture from the warped feature: residual blocks modulated by it (SPADE, section 3)."""

from typing import cast

from torch import nn

from mdth.bfv2v.blocks import SpectralConv2d
from mdth.bfv2v.config import DecoderConfig

SLOPE = 0.2
MIDDLE = 6
"""Residual blocks at the feature's own size."""


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
