"""The autoregressive half, a step at a time: what was computed is kept.

A step reads the keys and values of all past frames and adds its own. Two things are folded so that
a step touches no mesh: the way from one output to the next input, `vertice_map(vertice_map_r(x))`,
is one small matrix (multiplied out in float64), and so is the way on to query, key and value.

This is the form for a CPU, whose steps grow with the past; `static` has the one for a GPU.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.faceformer.network import HEADS, Network, past_bias, positions

FIRST_CAPACITY = 1024


class Decoder:
    """One person's motion, from speech blocks in their order.

    subject: the speaker's column of `obj_vector`. Everything stays on the network's device.
    """

    def __init__(self, network: Network, subject: int) -> None:
        config = network.config
        self.layer = decoder_layer(network)
        self.period, self.width = config.period, config.width
        self.crossed = Crossed(self.layer.multihead_attn, config.tokens_per_frame)
        self.done = 0
        self.start, self.step, self.phases = folded(network, subject)
        self.hidden = torch.zeros(self.width, device=self.step.device)
        # Along time, so that one sweep reads the keys for the scores, and one the values.
        self.kept = torch.zeros(2, HEADS, self.width // HEADS, 0, device=self.step.device)
        self._grow(FIRST_CAPACITY)

    def frames(self, speech: Tensor) -> Tensor:
        """The next frames' hidden state [F, width] for speech [F * tokens_per_frame, width].

        `vertice_map_r` makes offsets of them.
        """
        tables = self.crossed.tables(speech)
        hidden = torch.empty(len(tables[0]), self.width, device=speech.device)
        with _one_thread():
            for index in range(len(hidden)):
                hidden[index] = self._next([table[index] for table in tables])
        return hidden

    def _next(self, heard: Sequence[Tensor]) -> Tensor:
        """One step: the frame's hidden state [width]."""
        if self.done == self.kept.shape[-1]:
            self._grow(2 * self.done)
        now, phase = self.done, self.done % self.period
        bias = self.phases[phase]
        inputs = self.start if now == 0 else torch.addmv(bias, self.step, self.hidden)
        self.kept[..., now] = inputs[2 * self.width :].view(2, HEADS, -1)
        keys, values = self.kept[..., : now + 1]
        x, query = inputs[: self.width], inputs[self.width : 2 * self.width]
        looked = look_back(query, keys, values, self.bias[..., -now - 1 :])
        self.hidden = rest_of_layer(self.layer, self.crossed, x, looked, heard)
        self.done = now + 1
        return self.hidden

    def _grow(self, capacity: int) -> None:
        """Room for that many frames: keys, values, and the bias, which ends at the frame itself."""
        self.kept = functional.pad(self.kept, (0, capacity - self.kept.shape[-1]))
        bias = past_bias(capacity, self.period).flip(-1)
        self.bias = bias.to(self.kept.device)[:, None]


class Crossed:
    """Cross-attention of frames that see their own tokens alone.

    With one token its weight is 1 whatever the query says.
    """

    def __init__(self, attention: nn.MultiheadAttention, tokens: int) -> None:
        self.attention, self.tokens = attention, tokens
        self.query = attention.in_proj_weight.chunk(3)[0]
        self.query_bias = attention.in_proj_bias.chunk(3)[0]

    def tables(self, speech: Tensor) -> list[Tensor]:
        """What each frame needs of speech [F * tokens, width], frames first: one table or two."""
        _, key, value = self.attention.in_proj_weight.chunk(3)
        _, key_bias, value_bias = self.attention.in_proj_bias.chunk(3)
        values = functional.linear(speech, value, value_bias)
        out = self.attention.out_proj
        if self.tokens == 1:
            return [functional.linear(values, out.weight, out.bias)]
        keys = functional.linear(speech, key, key_bias)
        split = (-1, self.tokens, HEADS, speech.shape[-1] // HEADS)
        return [keys.view(split).transpose(1, 2), values.view(split).transpose(1, 2)]

    def seen(self, x: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """What a frame with the state x [width] sees, [width]; rows: its own of each table."""
        if self.tokens == 1:
            return rows[0]
        keys, values = rows
        query = torch.addmv(self.query_bias, self.query, x).view(HEADS, 1, -1)
        scores = (query * keys).sum(-1, keepdim=True) * keys.shape[-1] ** -0.5
        looked = (scores.softmax(dim=1) * values).sum(1)
        out = self.attention.out_proj
        return torch.addmv(out.bias, out.weight, looked.view(-1))


def look_back(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Self-attention of one frame: query [width], keys and values [HEADS,size,T] -> [width]."""
    scores = torch.baddbmm(bias, query.view(HEADS, 1, -1), keys, alpha=keys.shape[1] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1), values.transpose(1, 2)).view(-1)


def rest_of_layer(
    layer: nn.TransformerDecoderLayer,
    crossed: Crossed,
    x: Tensor,
    looked: Tensor,
    heard: Sequence[Tensor],
) -> Tensor:
    """The layer after its self-attention: from the input x [width] to the hidden state [width]."""
    own = layer.self_attn.out_proj
    x = layer.norm1(x + torch.addmv(own.bias, own.weight, looked))
    x = layer.norm2(x + crossed.seen(x, heard))
    inner = torch.relu_(torch.addmv(layer.linear1.bias, layer.linear1.weight, x))
    return cast(
        Tensor, layer.norm3(x + torch.addmv(layer.linear2.bias, layer.linear2.weight, inner))
    )


def decoder_layer(network: Network) -> nn.TransformerDecoderLayer:
    """The network's one decoder layer."""
    return cast(nn.TransformerDecoderLayer, network.transformer_decoder.layers[0])


def folded(network: Network, subject: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first input [4*width], and matrix and bias per phase of the later ones.

    An input is [embedding with position, query, key, value]; a later one is
    step [4*width, width] @ hidden + phases[t % period] [4*width].
    """
    config = network.config
    own = decoder_layer(network).self_attn
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
