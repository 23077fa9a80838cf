"""The autoregressive half for a GPU: a step whose shapes never change, recorded and replayed.

On a GPU a step is 25 small kernels, and telling the device each of them costs more than running
them. So the step is one CUDA graph: room for the past is fixed (a power of two of frames) and what
lies ahead is masked, and all that counts frames lies on the device, so nothing waits for the host.
The same step runs unrecorded on any device; there tests compare it with `decoder.Decoder`.
"""

from typing import Any

import torch
from torch import Tensor

from mdth.faceformer.decoder import Crossed, decoder_layer, folded, look_back, rest_of_layer
from mdth.faceformer.network import HEADS, Network, past_bias

SMALLEST_ROOM = 256
BLOCK = 256
"""Frames whose speech is copied to the step at once."""
STEPS_AT_ONCE = 16
"""Steps in the larger of the two graphs; the rest of a block is done one by one."""
WARM_UPS = 3


def room_for(frames: int) -> int:
    """The fixed number of past frames that so many frames need: a power of two."""
    return max(SMALLEST_ROOM, 1 << (frames - 1).bit_length())


class StaticDecoder:
    """Like `decoder.Decoder`, in steps of one shape; on a GPU they are replayed graphs.

    room: frames that fit before the step has to be made anew, twice as large.
    """

    def __init__(self, network: Network, subject: int, *, room: int = 4 * SMALLEST_ROOM) -> None:
        self.network, self.subject = network, subject
        self.step = StaticStep(network, subject, room)
        self.done = 0

    def frames(self, speech: Tensor) -> Tensor:
        """The next frames' hidden state [F, width] for speech [F * tokens_per_frame, width]."""
        tables = self.step.crossed.tables(speech)
        blocks = zip(*(torch.split(table, BLOCK) for table in tables), strict=True)
        return torch.cat([self._block(block) for block in blocks])

    def begin(self) -> None:
        """Forget all frames, to be used for another sound."""
        self.step.forget()
        self.done = 0

    def _block(self, tables: tuple[Tensor, ...]) -> Tensor:
        count = len(tables[0])
        if self.done + count > self.step.room:
            grown = StaticStep(self.network, self.subject, room_for(self.done + count))
            grown.follow(self.step, self.done)
            self.step = grown
        self.step.hear(tables)
        self.step.run(count)
        self.done += count
        return self.step.hidden_frames[:count].clone()


class StaticStep:
    """One step and all it works on; nothing in it has a size that changes or leaves the device."""

    def __init__(self, network: Network, subject: int, room: int) -> None:
        config = network.config
        self.layer, self.room, self.period = decoder_layer(network), room, config.period
        self.crossed = Crossed(self.layer.multihead_attn, config.tokens_per_frame)
        start, self.matrix, phases = folded(network, subject)
        # The first input follows from the hidden state 0 like the others, by a phase of its own.
        self.phases = torch.cat([phases, start[None]])
        device = start.device
        size = config.width // HEADS
        self.kept = torch.zeros(2, HEADS, size, room, device=device)
        # Biases of frames from long ago to the far future; a step looks at a window of them.
        ahead = torch.full((HEADS, room), -torch.inf)
        bias = torch.cat([past_bias(room, config.period).flip(-1), ahead], dim=1)
        self.bias = bias.to(device)[:, None]
        self.first_window = torch.arange(room, device=device) + room - 1
        self.window = self.first_window.clone()
        self.now, self.place, self.phase = torch.zeros(3, 1, dtype=torch.long, device=device)
        self.hidden = torch.zeros(config.width, device=device)
        self.hidden_frames = torch.zeros(BLOCK, config.width, device=device)
        blank = torch.zeros(BLOCK * config.tokens_per_frame, config.width, device=device)
        self.tables = [torch.zeros_like(table) for table in self.crossed.tables(blank)]
        self.forget()
        self.graphs: dict[int, Any] = {}
        if device.type == "cuda":
            self._record()
            self.forget()

    def forget(self) -> None:
        """Back to before the first frame."""
        for counter in (self.kept, self.hidden, self.now, self.place):
            counter.zero_()
        self.phase.fill_(self.period)
        self.window.copy_(self.first_window)

    def follow(self, other: "StaticStep", done: int) -> None:
        """Take over what a smaller step knows after `done` frames."""
        self.kept[..., : other.room].copy_(other.kept)
        self.hidden.copy_(other.hidden)
        self.now.copy_(other.now)
        self.phase.copy_(other.phase)
        self.window.copy_(self.first_window - done)

    def hear(self, tables: tuple[Tensor, ...]) -> None:
        """The speech of the next block, at most BLOCK frames of `crossed.tables`."""
        for own, table in zip(self.tables, tables, strict=True):
            own[: len(table)].copy_(table)
        self.place.zero_()

    def run(self, count: int) -> None:
        """So many steps over the block's frames, into `hidden_frames`."""
        if not self.graphs:
            for _ in range(count):
                self.once()
            return
        for _ in range(count // STEPS_AT_ONCE):
            self.graphs[STEPS_AT_ONCE].replay()
        for _ in range(count % STEPS_AT_ONCE):
            self.graphs[1].replay()

    def once(self) -> None:
        """One step."""
        width = len(self.hidden)
        inputs = torch.addmv(self.phases.index_select(0, self.phase)[0], self.matrix, self.hidden)
        new = inputs[2 * width :].view(2, HEADS, -1, 1)
        self.kept.index_copy_(3, self.now, new)
        bias = self.bias.index_select(2, self.window)
        looked = look_back(inputs[width : 2 * width], self.kept[0], self.kept[1], bias)
        heard = [table.index_select(0, self.place)[0] for table in self.tables]
        hidden = rest_of_layer(self.layer, self.crossed, inputs[:width], looked, heard)
        self.hidden.copy_(hidden)
        self.hidden_frames.index_copy_(0, self.place, hidden[None])
        self.window.sub_(1)
        self.place.add_(1)
        self.now.add_(1)
        torch.remainder(self.now, self.period, out=self.phase)

    def _record(self) -> None:
        """Capture the graphs; the steps of the warm-up count for nothing."""
        with torch.cuda.device(self.hidden.device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    self.once()
            torch.cuda.current_stream().wait_stream(side)
            for steps in (1, STEPS_AT_ONCE):
                graph = torch.cuda.CUDAGraph()
                # Other threads may go on using the device meanwhile.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    for _ in range(steps):
                        self.once()
                self.graphs[steps] = graph
