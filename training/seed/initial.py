"""The network that training starts from."""

import logging

import torch
from torch import nn

from mdth.faceformer.config import Config
from mdth.faceformer.network import Network
from training.seed.wav2vec2 import load_encoder

log = logging.getLogger("mdth")


def untrained(config: Config, *, random_seed: int = 0) -> Network:
    """A network of random weights, ready to infer: wav2vec2's rules, torch's for the rest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        made = Network(config)
        for module in made.audio_encoder.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
    return made.requires_grad_(False).eval()


def fresh_network(config: Config, *, random_seed: int, wav2vec2: str | None) -> Network:
    """A network before training; its first output is the template.

    wav2vec2: where the encoder's weights come from, see `training.seed.wav2vec2`.
    """
    network = untrained(config, random_seed=random_seed)
    nn.init.zeros_(network.vertice_map_r.weight)
    nn.init.zeros_(network.vertice_map_r.bias)
    if wav2vec2 is None:
        log.info("the encoder starts from random weights; FaceFormer starts from wav2vec2-base")
    else:
        load_encoder(network.audio_encoder, wav2vec2)
    return network
