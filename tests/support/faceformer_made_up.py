"""Full-size networks with random weights and made-up sound: for measurements that need no owner."""

import math

import torch
from torch import Tensor, nn

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.faceformer.config import Config, EncoderConfig
from mdth.faceformer.network import Network

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


def network(config: Config, *, seed: int = 0) -> Network:
    """A network before training, ready to infer: wav2vec2's rules, torch's for the rest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Network(config)
        for module in made.audio_encoder.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
    return made.requires_grad_(False).eval()


def sound(duration_s: float, *, seed: int = 0) -> Tensor:
    """Noise that swells like syllables, four a second, with pauses: float32 [N], 16 kHz."""
    generator = torch.Generator().manual_seed(seed)
    count = round(duration_s * SPEECH_RATE_HZ)
    time_s = torch.arange(count) / SPEECH_RATE_HZ
    syllables = torch.sin(2 * math.pi * 2.0 * time_s).square()
    sentences = (torch.sin(2 * math.pi * time_s / 7) > -0.8).float()
    hiss = torch.randn(count, generator=generator)
    hum = torch.sin(2 * math.pi * 130 * time_s + 3 * torch.sin(2 * math.pi * time_s))
    return 0.1 * syllables * sentences * (hum + 0.3 * hiss) + 0.001 * hiss
