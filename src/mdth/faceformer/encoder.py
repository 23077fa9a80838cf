"""wav2vec2 (Baevski et al., 2020) with the parameter names of its published checkpoints.

Own modules: transformers 5.23 gives the same numbers (a test compares them where it is installed),
but adds 6 s and 148 MB to the import of torch, and hides the first group norm, which windows of a
sound must feed with the statistics of all of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.faceformer.config import EncoderConfig
from mdth.faceformer.statistics import KERNEL, STRIDE, SoundStatistics

KERNELS = (KERNEL, 3, 3, 3, 3, 2, 2)
STRIDES = (STRIDE, 2, 2, 2, 2, 2, 2)
HOP = 320
"""Samples from one feature to the next: the product of the strides."""
REACH = 400
"""Samples one feature sees."""
BLOCK = 250
"""Features computed at once: 5 s, 33 MB in the widest layer at full size."""
TOKENS = 1024
"""Tokens that the wide convolution sees at once: for 60 s it takes 0.17 s so, 0.30 s in one."""
SPREAD = 0.02 * 3**0.5


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """On a GPU, convolutions in float32 inside the block: cuDNN's own choice is TF32, 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def feature_count(samples: int) -> int:
    """Features that so many samples give."""
    return max(0, (samples - REACH) // HOP + 1)


def sample_count(features: int) -> int:
    """Samples that so many features need."""
    return HOP * (features - 1) + REACH if features > 0 else 0


class ConvLayer(nn.Module):
    """One convolution without bias; the first is followed by a group norm, one channel a group."""

    def __init__(self, channels_in: int, channels: int, *, index: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, KERNELS[index], STRIDES[index], bias=False)
        if index == 0:
            self.layer_norm = nn.GroupNorm(channels, channels)


class FeatureExtractor(nn.Module):
    """Sound [N] -> features [T,C], 50 a second; the group norm's statistics come from outside."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels = (1, *config.conv_dim)
        self.conv_layers = nn.ModuleList(
            ConvLayer(channels[i], channels[i + 1], index=i) for i in range(len(KERNELS))
        )

    def forward(self, samples: Tensor, statistics: SoundStatistics) -> Tensor:
        """Features of `samples` [N]; needs at least REACH samples."""
        layers = [cast(ConvLayer, layer) for layer in self.conv_layers]
        weight, bias = statistics.folded(layers[0].conv.weight, layers[0].layer_norm)
        starts = range(0, feature_count(len(samples)), BLOCK)
        blocks = []
        for start in starts:
            x = samples[start * HOP : sample_count(start + BLOCK)]
            with exact_convolutions():
                x = functional.gelu(functional.conv1d(x[None, None], weight, bias, stride=STRIDE))
                for layer in layers[1:]:
                    x = functional.gelu(layer.conv(x))
            blocks.append(x[0].T)
        return torch.cat(blocks)


class FeatureProjection(nn.Module):
    """Features [T,C] -> tokens [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1])
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each feature and project it."""
        return cast(Tensor, self.projection(self.layer_norm(features)))


class WeightNormConv(nn.Module):
    """A grouped convolution over time, weight = g v / |v| with one norm per tap of the kernel."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size, taps = config.hidden_size, config.num_conv_pos_embeddings
        self.groups = config.num_conv_pos_embedding_groups
        self.bias = nn.Parameter(torch.zeros(size))
        self.weight_g = nn.Parameter(torch.ones(1, 1, taps))
        # A deviation of 0.02; normal numbers would make torch import sympy, weights or not.
        made = torch.empty(size, size // self.groups, taps).uniform_(-SPREAD, SPREAD)
        self.weight_v = nn.Parameter(made)

    def forward(self, x: Tensor) -> Tensor:
        """[H,T] -> [H,T+1] for an even number of taps."""
        norm = self.weight_v.pow(2).sum(dim=(0, 1), keepdim=True).sqrt()
        taps = self.weight_v.shape[-1]
        weight = self.weight_v * (self.weight_g / norm)
        padded = functional.pad(x, (taps // 2, taps // 2))
        starts = range(0, padded.shape[1] - taps + 1, TOKENS)
        with exact_convolutions():
            made = [
                functional.conv1d(
                    padded[None, :, start : start + TOKENS + taps - 1],
                    weight,
                    self.bias,
                    groups=self.groups,
                )
                for start in starts
            ]
        return torch.cat(made, 2)[0]


class PositionalConv(nn.Module):
    """What tells tokens their place: a wide convolution of them, [T,H] -> [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = WeightNormConv(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """The convolution, cut to the length of its input."""
        return functional.gelu(self.conv(tokens.T)[:, : len(tokens)]).T


class Attention(nn.Module):
    """Self-attention over all tokens, [T,H] -> [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj = nn.Linear(size, size)
        self.v_proj = nn.Linear(size, size)
        self.q_proj = nn.Linear(size, size)
        self.out_proj = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Every token looks at every other one."""
        parts = (self.q_proj, self.k_proj, self.v_proj)
        # One product of the three: a few percent of the encoder's time.
        weight, bias = (torch.cat([getattr(p, name) for p in parts]) for name in ("weight", "bias"))
        asked = functional.linear(x, weight, bias).view(len(x), 3, self.heads, -1)
        query, key, value = asked.permute(1, 2, 0, 3)[:, None]
        seen = functional.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.out_proj(seen[0].transpose(0, 1).reshape(x.shape)))


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, [T,H] -> [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Each token on its own."""
        return cast(Tensor, self.output_dense(functional.gelu(self.intermediate_dense(x))))


class EncoderLayer(nn.Module):
    """A transformer layer whose norms come after the sums, [T,H] -> [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the feed-forward part."""
        x = self.layer_norm(x + self.attention(x))
        return cast(Tensor, self.final_layer_norm(x + self.feed_forward(x)))


class Transformer(nn.Module):
    """Tokens in context, [T,H] -> [T,H]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConv(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """All layers after the places are added."""
        x = self.layer_norm(tokens + self.pos_conv_embed(tokens))
        for layer in self.layers:
            x = layer(x)
        return cast(Tensor, x)


class Wav2Vec2(nn.Module):
    """The speech encoder. Between its two halves FaceFormer resamples the features."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        # Used in training alone (masked features), but every checkpoint has it.
        self.masked_spec_embed = nn.Parameter(torch.zeros(config.hidden_size))
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Transformer(config)

    def forward(self, features: Tensor) -> Tensor:
        """Features [T,C], resampled or cut already -> tokens in context [T,H]."""
        return cast(Tensor, self.encoder(self.feature_projection(features)))
