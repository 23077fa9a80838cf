"""FaceFormer's parts under the names of its published checkpoints, and what is not learnt."""

import dataclasses
import math
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.faceformer.config import Config
from mdth.faceformer.encoder import Wav2Vec2
from mdth.files import state_dict

RECOMPUTED = "PPE.pe"
"""A table of positions that the published files carry; it is computed here."""
TODAYS_NAMES = {"parametrizations.weight.original0": "weight_g",
                "parametrizations.weight.original1": "weight_v"}  # fmt: skip

HEADS = 4


class Network(nn.Module):
    """Holds the parameters; `decoder.Decoder` runs the autoregressive half.

    The decoder is one post-norm transformer layer with a ReLU feed-forward twice its width.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width, numbers = config.width, 3 * config.vertices
        self.audio_encoder = Wav2Vec2(config.encoder)
        self.audio_feature_map = nn.Linear(config.encoder.hidden_size, width)
        self.vertice_map = nn.Linear(numbers, width)
        layer = nn.TransformerDecoderLayer(width, HEADS, 2 * width, batch_first=True)
        self.transformer_decoder = nn.TransformerDecoder(layer, num_layers=1)
        self.vertice_map_r = nn.Linear(width, numbers)
        self.obj_vector = nn.Linear(config.subjects, width, bias=False)

    def speech(self, features: Tensor) -> Tensor:
        """CNN features [T,C], at the token rate -> what the decoder attends to [T, width]."""
        return cast(Tensor, self.audio_feature_map(self.audio_encoder(features)))

    def aligned(self, features: Tensor) -> Tensor:
        """A whole clip's features [T,C] at 50 Hz -> at the token rate.

        vocaset: resampled to int(T / 50 * 30), first and last kept in place. BIWI: an even length.
        """
        length = self.config.frames(len(features)) * self.config.tokens_per_frame
        if not self.config.resamples:
            return features[:length]
        return resample(features, length)


def resample(features: Tensor, length: int) -> Tensor:
    """Linear interpolation of [T,C] to [length,C]; the ends stay where they are."""
    return functional.interpolate(features.T[None], length, mode="linear", align_corners=True)[0].T


def slopes() -> Tensor:
    """What each head's attention loses for every period it looks back, [HEADS]; as in ALiBi."""
    return torch.tensor([2.0 ** (-8 * (head + 1) / HEADS) for head in range(HEADS)])


def past_bias(length: int, period: int) -> Tensor:
    """Bias of the attention to the frame k steps back, k = 0..length-1: [HEADS, length]."""
    steps = torch.arange(length) // period
    return -slopes()[:, None] * steps


def positions(period: int, width: int) -> Tensor:
    """The periodic positional encoding of one period, [period, width]."""
    place = torch.arange(period, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.empty(period, width)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)
    return table


def load_network(path: Path, config: Config) -> Network:
    """The network of a state dict file, on the CPU, ready to infer.

    Numbers of vertices and subjects are the file's own. Raises CheckpointError if the file is
    missing, damaged, no plain state dict, or lacks a tensor of this network.
    """
    weights = read_weights(path)
    config = dataclasses.replace(
        config,
        vertices=state_dict.size(weights, "vertice_map_r.bias", 3 * config.vertices) // 3,
        subjects=state_dict.size(weights, "obj_vector.weight", config.subjects, axis=1),
    )
    kind = f"a FaceFormer checkpoint for {config.dataset}"
    return state_dict.filled(lambda: Network(config), weights, path=path, kind=kind)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names and float32 tensors of a state dict; nothing in the file is executed."""
    weights = {published_name(name): w.float() for name, w in state_dict.read(path).items()}
    weights.pop(RECOMPUTED, None)
    return weights


def published_name(name: str) -> str:
    """The name a tensor has in the published files; today's torch calls two of them otherwise."""
    for today, published in TODAYS_NAMES.items():
        name = name.replace(today, published)
    return name
