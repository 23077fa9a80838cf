"""FaceFormer as the paper writes it: every step recomputes all steps before it.

Slow on purpose. It shares the parameters with the fast way and none of its shortcuts: torch's own
decoder layer with full masks, a group norm over the whole clip, meshes fed back as meshes. Tests
and the bench compare with it.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from mdth.faceformer.encoder import ConvLayer
from mdth.faceformer.network import Network, positions
from training.seed.forward import aligned_mask as aligned_mask
from training.seed.forward import past_mask as past_mask
from training.seed.forward import step as step


@torch.inference_mode()
def vertices(network: Network, sound: Tensor, template: Tensor, subject: int) -> Tensor:
    """Meshes [T,V*3] for a sound [N] of zero mean and unit variance and a template [V*3]."""
    memory = speech(network, sound)[None]
    return offsets(network, memory, subject) + template


def speech(network: Network, sound: Tensor) -> Tensor:
    """What the decoder attends to, [T * tokens_per_frame, width]."""
    x = sound[None, None]
    for layer in network.audio_encoder.feature_extractor.conv_layers:
        layer = cast(ConvLayer, layer)
        x = layer.conv(x)
        if hasattr(layer, "layer_norm"):
            x = layer.layer_norm(x)
        x = functional.gelu(x)
    return network.speech(network.aligned(x[0].T))


@torch.inference_mode()
def offsets(network: Network, memory: Tensor, subject: int) -> Tensor:
    """Autoregression over speech [1, T * tokens_per_frame, width]: offsets [T,V*3]."""
    tokens = network.config.tokens_per_frame
    frames = memory.shape[1] // tokens
    style = network.obj_vector.weight[:, subject]
    place = positions(network.config.period, network.config.width).to(style)
    place = place.repeat(frames // len(place) + 1, 1)
    own, crossed = past_mask(network, frames), aligned_mask(frames, tokens).to(style.device)
    inputs, predicted = style[None, None], style.new_zeros(1, 0, 0)
    for frame in range(1, frames + 1):
        predicted = step(network, inputs + place[:frame], memory, own=own, crossed=crossed)
        inputs = torch.cat([inputs, network.vertice_map(predicted[:, -1:]) + style], dim=1)
    return predicted[0]
