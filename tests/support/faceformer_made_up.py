"""Full-size networks with random weights and made-up sound: for measurements that need no owner."""

import math

import torch
from torch import Tensor

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.faceformer.config import EncoderConfig
from training.seed.initial import untrained as network

__all__ = ["SMALL_ENCODER", "network", "sound"]

# wav2vec2's shape at a size for tests.
SMALL_ENCODER = EncoderConfig(
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    conv_dim=(16,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=2,
)


def sound(duration_s: float, *, random_seed: int = 0) -> Tensor:
    """Noise that swells like syllables, four a second, with pauses: float32 [N], 16 kHz."""
    generator = torch.Generator().manual_seed(random_seed)
    count = round(duration_s * SPEECH_RATE_HZ)
    time_s = torch.arange(count) / SPEECH_RATE_HZ
    syllables = torch.sin(2 * math.pi * 2.0 * time_s).square()
    sentences = (torch.sin(2 * math.pi * time_s / 7) > -0.8).float()
    hiss = torch.randn(count, generator=generator)
    hum = torch.sin(2 * math.pi * 130 * time_s + 3 * torch.sin(2 * math.pi * time_s))
    return 0.1 * syllables * sentences * (hum + 0.3 * hiss) + 0.001 * hiss
