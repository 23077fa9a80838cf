"""The autoregressive half, a step at a time: what was computed is kept.

A step reads the keys and values of all past frames and adds its own. Two things are folded so that
a step touches no mesh: the way from one output to the next input, `vertice_map(vertice_map_r(x))`,
is one small matrix (multiplied out in float64), and so is the way on to query, key and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.faceformer.seed.network import HEADS, Network, past_bias, positions

FIRST_CAPACITY = 1024


class Decoder:
    """One person's motion, from speech blocks in their order.

    subject: the speaker's column of `obj_vector`. Everything stays on the network's device.
    """

    def __init__(self, network: Network, subject: int) -> None:
        config = network.config
        self.layer = cast(nn.TransformerDecoderLayer, network.transformer_decoder.layers[0])
        self.period, self.width = config.period, config.width
        self.tokens_per_frame = config.tokens_per_frame
        self.done = 0
        self.start, self.step, self.phases = _folded(network, subject)
        self.hidden = torch.zeros(self.width, device=self.step.device)
        size = self.width // HEADS
        # Keys lie along time, so that a query reads them in one sweep; values lie frame by frame.
        self.keys = torch.empty(HEADS, size, 0, device=self.step.device)
        self.values = torch.empty(HEADS, 0, size, device=self.step.device)
        self._grow(FIRST_CAPACITY)

    def frames(self, speech: Tensor) -> Tensor:
        """The next frames' hidden state [F, width] for speech [F * tokens_per_frame, width].

        `vertice_map_r` makes offsets of them.
        """
        seen = self._crossed(speech)
        hidden = torch.empty(len(speech) // self.tokens_per_frame, self.width, device=speech.device)
        with _one_thread():
            for index in range(len(hidden)):
                hidden[index] = self._next(seen, index)
        return hidden

    def _next(self, seen: Crossed, index: int) -> Tensor:
        """One step: the frame's hidden state [width]."""
        if self.done == self.values.shape[1]:
            self._grow(2 * self.done)
        now, phase = self.done, self.done % self.period
        bias = self.phases[phase]
        inputs = self.start if now == 0 else torch.addmv(bias, self.step, self.hidden)
        x, query, key, value = inputs.view(4, -1)
        self.keys[:, :, now] = key.view(HEADS, -1)
        self.values[:, now] = value.view(HEADS, -1)
        scores = torch.baddbmm(
            self.bias[..., -now - 1 :],
            query.view(HEADS, 1, -1),
            self.keys[..., : now + 1],
            alpha=self.keys.shape[1] ** -0.5,
        )
        looked = torch.bmm(scores.softmax(dim=-1), self.values[:, : now + 1])
        layer = self.layer
        own = layer.self_attn.out_proj
        x = layer.norm1(x + torch.addmv(own.bias, own.weight, looked.view(-1)))
        x = layer.norm2(x + seen.at(x, index))
        inner = torch.relu_(torch.addmv(layer.linear1.bias, layer.linear1.weight, x))
        x = layer.norm3(x + torch.addmv(layer.linear2.bias, layer.linear2.weight, inner))
        self.hidden, self.done = x, now + 1
        return cast(Tensor, x)

    def _crossed(self, speech: Tensor) -> Crossed:
        return Crossed(self.layer.multihead_attn, speech, self.tokens_per_frame)

    def _grow(self, capacity: int) -> None:
        """Room for that many frames: keys, values, and the bias, which ends at the frame itself."""
        missing = capacity - self.values.shape[1]
        self.keys = functional.pad(self.keys, (0, missing))
        self.values = functional.pad(self.values, (0, 0, 0, missing))
        bias = past_bias(capacity, self.period).flip(-1)
        self.bias = bias.to(self.keys.device)[:, None]


class Crossed:
    """Cross-attention of frames that see their own tokens alone, computed for a block at once.

    speech: [F * tokens, width]. With one token its weight is 1 whatever the query says.
    """

    def __init__(self, attention: nn.MultiheadAttention, speech: Tensor, tokens: int) -> None:
        width = speech.shape[-1]
        self.size = width // HEADS
        query, key, value = attention.in_proj_weight.chunk(3)
        query_bias, key_bias, value_bias = attention.in_proj_bias.chunk(3)
        out = attention.out_proj
        values = functional.linear(speech, value, value_bias)
        if tokens == 1:
            self.whole: Tensor | None = functional.linear(values, out.weight, out.bias)
            return
        self.whole = None
        keys = functional.linear(speech, key, key_bias)
        self.keys = keys.view(-1, tokens, HEADS, self.size).transpose(1, 2)
        self.values = values.view(-1, tokens, HEADS, self.size).transpose(1, 2)
        self.query, self.query_bias, self.out = query, query_bias, out

    def at(self, x: Tensor, index: int) -> Tensor:
        """What the block's frame `index` with the state x [width] sees, [width]."""
        if self.whole is not None:
            return self.whole[index]
        query = torch.addmv(self.query_bias, self.query, x).view(HEADS, 1, self.size)
        scores = (query * self.keys[index]).sum(-1, keepdim=True) * self.size**-0.5
        looked = (scores.softmax(dim=1) * self.values[index]).sum(1)
        return torch.addmv(self.out.bias, self.out.weight, looked.view(-1))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch on the CPU inside the block.

    A step is twenty small products: threads that wait for each other cost more than they save, on
    a busy machine 20 ms a step instead of 0.13 ms.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _folded(network: Network, subject: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first input [4*width], and matrix and bias per phase of the later ones.

    An input is [embedding with position, query, key, value]; a later one is
    step [4*width, width] @ hidden + phases[t % period] [4*width].
    """
    config = network.config
    layer = cast(nn.TransformerDecoderLayer, network.transformer_decoder.layers[0])
    own = layer.self_attn
    width = config.width
    style = network.obj_vector.weight[:, subject].double()
    into, out = network.vertice_map, network.vertice_map_r
    back = into.weight.double() @ out.weight.double()
    back_bias = into.weight.double() @ out.bias.double() + into.bias.double()
    place = positions(config.period, width).to(style)
    eye = torch.eye(width).to(style)
    expand = torch.cat([eye, own.in_proj_weight.double()])
    expand_bias = torch.cat([torch.zeros_like(style), own.in_proj_bias.double()])
    phases = (back_bias + style + place) @ expand.T + expand_bias
    start = expand @ (style + place[0]) + expand_bias
    return start.float(), (expand @ back).float().contiguous(), phases.float()
