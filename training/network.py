"""The decoder's network: what is heard in a window -> coefficients of the face's offsets.

Of FaceFormer (Fan et al., CVPR 2022) it keeps the alignment: each output frame looks at the speech
around its own time. Its autoregression is left out: past outputs would make a frame depend on where
a stream began, and the cross-fade of windows already gives smooth motion.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the network; kind: "conv" or "attention"."""

    kind: str = "conv"
    width: int = 128
    blocks: int = 4
    kernel: int = 7
    heads: int = 4
    features: int = 288
    mel: int = 80
    components: int = 32
    dropout: float = 0.2


class ConvMixer(nn.Module):
    """Depthwise convolution over time, [B,T,C] -> [B,T,C]."""

    def __init__(self, config: DecoderConfig, dilation: int) -> None:
        super().__init__()
        reach = config.kernel // 2 * dilation
        self.conv = nn.Conv1d(
            config.width, config.width, config.kernel,
            padding=reach, dilation=dilation, groups=config.width,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbouring frames."""
        mixed: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return mixed


class AlignedAttention(nn.Module):
    """Self-attention with a bias that falls with distance, [B,T,C] -> [B,T,C]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        slopes = torch.tensor([2.0 ** -(k - 1) for k in range(config.heads)])
        self.register_buffer("slopes", slopes)

    def forward(self, x: Tensor) -> Tensor:
        """Mix all frames of the window, near ones first."""
        batch, frames, width = x.shape
        parts = self.query_key_value(x).reshape(batch, frames, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        place = torch.arange(frames, device=x.device)
        distance = (place[:, None] - place[None]).abs()
        slopes: Tensor = self.get_buffer("slopes")
        score = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        score = score - slopes[:, None, None] * distance
        mixed = (score.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, frames, width)
        out: Tensor = self.out(mixed)
        return out


class Block(nn.Module):
    """Mix over time, then over channels, each as a residual."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        self.before_time = nn.LayerNorm(config.width)
        self.time: nn.Module = (
            AlignedAttention(config)
            if config.kind == "attention"
            else ConvMixer(config, (1, 2, 1, 2)[index % 4])
        )
        self.channels = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, 3 * config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(3 * config.width, config.width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,C] -> [B,T,C]."""
        x = x + self.dropout(self.time(self.before_time(x)))
        mixed: Tensor = x + self.channels(x)
        return mixed


class LipDecoder(nn.Module):
    """Heard frames [B,T,288+80] -> coefficients [B,T,K]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.features)
        self.drop_in = nn.Dropout(config.dropout)
        self.into = nn.Linear(config.features, config.width)
        self.mel_into = nn.Linear(config.mel, config.width)
        self.blocks = nn.Sequential(*(Block(config, k) for k in range(config.blocks)))
        self.out = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.components)
        )
        self.scale = nn.Parameter(torch.ones(config.components), requires_grad=False)

    def forward(self, heard: Tensor) -> Tensor:
        """Coefficients of each frame of each window."""
        features, mel = heard[..., : self.config.features], heard[..., self.config.features :]
        x = self.into(self.drop_in(self.norm(features))) + self.mel_into(mel * 0.5 + 2.0)
        out: Tensor = self.out(self.blocks(x)) * self.scale
        return out


class MeanDecoder(nn.Module):
    """The mean of some decoders less what they say of silence, [K], times a matrix [K,K].

    near: of each frame the mean with so many to either side is taken.
    """

    def __init__(
        self, decoders: list[LipDecoder], gain: Tensor, silence: Tensor, *, near: int = 0
    ) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(decoders)
        self.register_buffer("gain", gain)
        self.register_buffer("silence", silence)
        self.near = nn.AvgPool1d(2 * near + 1, 1, near, count_include_pad=False)

    def forward(self, heard: Tensor) -> Tensor:
        """Coefficients [1,T,K]."""
        mean = torch.stack([decoder(heard) for decoder in self.decoders]).mean(dim=0)
        if self.near.padding != (0,):
            mean = self.near(mean.transpose(1, 2)).transpose(1, 2)
        gain: Tensor = self.get_buffer("gain")
        silence: Tensor = self.get_buffer("silence")
        return (mean - silence) @ gain
