"""FaceFormer's forward pass for training: the numbers of inference, with gradients.

Two ways of feeding back (Fan et al., CVPR 2022, section 3.3): every frame is told the true one
before it (`taught`, all frames at once), or hears its own output (`unrolled`, frame by frame, as in
inference); mixtures of the two are scheduled sampling. The first frame always sees the speaker
alone, as in inference. Dropout acts while the network is in training mode; keys and values are kept
from frame to frame, so a frame's dropout is drawn once.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.faceformer.network import HEADS, Network, past_bias, positions, slopes
from mdth.faceformer.statistics import SoundStatistics

MASK_TOKENS = 10
"""Length of the spans that wav2vec2 is kept from hearing in training."""


def features(network: Network, sound: Tensor) -> Tensor:
    """The encoder's CNN features [T,C], 50 a second, of a normalised sound [N]."""
    statistics = SoundStatistics.of(sound)
    return cast(Tensor, network.audio_encoder.feature_extractor(sound, statistics))


def speech(network: Network, heard: Tensor, *, masked: float = 0.0) -> Tensor:
    """What the decoder attends to, [T * tokens_per_frame, width], for features [T50,C].

    masked: about this share of the tokens is replaced by the encoder's learnt mask, in spans.
    """
    encoder = network.audio_encoder
    tokens = encoder.feature_projection(network.aligned(heard))
    if masked:
        hidden = spans(len(tokens), masked).to(tokens.device)
        tokens = torch.where(hidden[:, None], encoder.masked_spec_embed.to(tokens.dtype), tokens)
    return cast(Tensor, network.audio_feature_map(encoder.encoder(tokens)))


def spans(tokens: int, share: float) -> Tensor:
    """Bool [tokens]: spans of MASK_TOKENS that start anywhere, about `share` of all."""
    starts = (torch.rand(tokens) < share / MASK_TOKENS).float()
    before = functional.pad(starts, (MASK_TOKENS - 1, 0))
    return functional.max_pool1d(before[None], MASK_TOKENS, stride=1)[0] > 0


def taught(network: Network, memory: Tensor, truth: Tensor, subject: int) -> Tensor:
    """Offsets [F,V*3], each frame told the true offsets [F,V*3] before it; all at once."""
    tokens = network.config.tokens_per_frame
    frames = len(memory) // tokens
    style = network.obj_vector.weight[:, subject]
    told = network.vertice_map(truth[: frames - 1]) + style
    inputs = torch.cat([style[None].to(told.dtype), told])
    inputs = dropped(network, inputs + _places(network, frames))
    own = past_mask(network, frames)
    crossed = aligned_mask(frames, tokens).to(memory.device)
    return step(network, inputs[None], memory[None], own=own, crossed=crossed)[0]


def step(
    network: Network, inputs: Tensor, memory: Tensor, *, own: Tensor, crossed: Tensor
) -> Tensor:
    """Offsets of all frames so far, [1,t,V*3], from their inputs [1,t,width] and the two masks."""
    frames = inputs.shape[1]
    hidden = network.transformer_decoder(
        inputs, memory, tgt_mask=own[:, :frames, :frames], memory_mask=crossed[:frames]
    )
    return cast(Tensor, network.vertice_map_r(hidden))


def past_mask(network: Network, frames: int) -> Tensor:
    """[HEADS, T, T]: each period back costs a head's slope; the future is closed."""
    step = torch.arange(frames, device=network.vertice_map_r.bias.device)
    back = step[:, None] - step
    bias = -(back // network.config.period) * slopes().to(step.device)[:, None, None]
    return bias.masked_fill(back < 0, -torch.inf)


def aligned_mask(frames: int, tokens: int) -> Tensor:
    """[T, T * tokens]: True where a frame may not look, which is all but its own tokens."""
    return torch.arange(frames)[:, None] != torch.arange(frames * tokens) // tokens


def unrolled(
    network: Network,
    memory: Tensor,
    subject: int,
    *,
    truth: Tensor | None = None,
    told: Tensor | None = None,
) -> Tensor:
    """Offsets [F,V*3], each frame hearing the output before it.

    truth: true offsets [F,V*3]. told: bool [F], after which frames the true offsets are heard
    instead (none if not given).
    """
    config = network.config
    frames = len(memory) // config.tokens_per_frame
    style = network.obj_vector.weight[:, subject]
    into, out = network.vertice_map, network.vertice_map_r
    # From a frame's hidden state to the next input without the mesh between.
    back, back_bias = into.weight @ out.weight, into.weight @ out.bias + into.bias + style
    true_inputs = None if truth is None or told is None else into(truth) + style
    places = _places(network, frames)
    step = _Steps(network, memory)
    heard, hidden = style, []
    for frame in range(frames):
        hidden.append(step(dropped(network, heard + places[frame]), frame))
        if true_inputs is not None and told is not None and told[frame]:
            heard = true_inputs[frame]
        else:
            heard = functional.linear(hidden[-1], back, back_bias)
    return cast(Tensor, out(torch.stack(hidden)))


def dropped(network: Network, inputs: Tensor) -> Tensor:
    """Inputs with the dropout of the positional encoding."""
    layer = cast(nn.TransformerDecoderLayer, network.transformer_decoder.layers[0])
    return functional.dropout(inputs, layer.dropout1.p, network.training)


def _places(network: Network, frames: int) -> Tensor:
    """The periodic positions [frames, width]."""
    place = positions(network.config.period, network.config.width)
    place = place.to(network.vertice_map_r.bias.device)
    return place.repeat(frames // len(place) + 1, 1)[:frames]


class _Steps:
    """The decoder layer frame by frame; keys and values of the past are kept, with gradients."""

    def __init__(self, network: Network, memory: Tensor) -> None:
        self.layer = cast(nn.TransformerDecoderLayer, network.transformer_decoder.layers[0])
        self.memory, self.tokens = memory, network.config.tokens_per_frame
        frames = len(memory) // self.tokens
        self.bias = past_bias(frames, network.config.period).to(memory.device).flip(-1)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def __call__(self, x: Tensor, frame: int) -> Tensor:
        """The hidden state [width] of a frame from its input [width]."""
        layer = self.layer
        x = layer.norm1(x + layer.dropout1(self._looked_back(x)))
        own = self.memory[frame * self.tokens : (frame + 1) * self.tokens]
        seen, _ = layer.multihead_attn(x[None], own, own, need_weights=False)
        x = layer.norm2(x + layer.dropout2(seen[0]))
        inner = layer.dropout(functional.relu(layer.linear1(x)))
        return cast(Tensor, layer.norm3(x + layer.dropout3(layer.linear2(inner))))

    def _looked_back(self, x: Tensor) -> Tensor:
        attention = self.layer.self_attn
        query, key, value = (
            part.view(HEADS, -1)
            for part in functional.linear(
                x, attention.in_proj_weight, attention.in_proj_bias
            ).chunk(3)
        )
        self.keys.append(key)
        self.values.append(value)
        keys, values = torch.stack(self.keys, dim=1), torch.stack(self.values, dim=1)
        scores = (keys @ query[..., None])[..., 0] * key.shape[-1] ** -0.5
        weights = (scores.float() + self.bias[:, -len(self.keys) :]).softmax(dim=-1)
        weights = functional.dropout(weights, attention.dropout, self.layer.training)
        looked = (weights.to(values.dtype)[:, None] @ values).reshape(-1)
        return cast(Tensor, attention.out_proj(looked))
