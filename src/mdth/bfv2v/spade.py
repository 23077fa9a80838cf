"""The picture from the warped feature: residual blocks modulated by it (SPADE, section 3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

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

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """[B,C,H,W] under a feature [B,label_nc,h,w] of any smaller size."""
        shown = functional.interpolate(feature, size=x.shape[2:], mode="nearest")
        hidden = self.mlp_shared(shown)
        scale, shift = self.mlp_gamma(hidden), self.mlp_beta(hidden)
        out: Tensor = functional.instance_norm(x) * (1 + scale) + shift
        return out


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

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """The block."""
        beside = self.conv_s(self.norm_s(x, feature)) if self.widens else x
        inner = self.conv_0(functional.leaky_relu(self.norm_0(x, feature), SLOPE))
        inner = self.conv_1(functional.leaky_relu(self.norm_1(inner, feature), SLOPE))
        out: Tensor = beside + inner
        return out


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

    def forward(self, feature: Tensor) -> Tensor:
        """The picture."""
        x = self.fc(feature)
        for index in range(MIDDLE):
            x = self.get_submodule(f"G_middle_{index}")(x, feature)
        x = self.up_0(twice(x), feature)
        x = self.up_1(twice(x), feature)
        return torch.sigmoid(self.conv_img(functional.leaky_relu(x, SLOPE)))


def twice(x: Tensor) -> Tensor:
    """Each pixel shown 2x2 times."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")
