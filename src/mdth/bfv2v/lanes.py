"""Ways of a batch to a device and back. A lane holds one batch at a time.

On a GPU several lanes are under way: landmarks and frames are copied from and to pinned memory
while other batches are rendered, and the rendering is one captured graph.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdth.bfv2v.landmarks import Landmarks
from mdth.bfv2v.motion import Face

WARM_UP = 3
"""Renderings before a graph is captured: libraries choose and allocate in the first ones."""
Pixels = npt.NDArray[np.uint8]
Render = Callable[[Face], Tensor]


class HostLane:
    """Give it a batch, then take the frames: renders when it is given a batch."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def give(self, landmarks: list[Landmarks]) -> None:
        """Render a batch."""
        self._made = as_pixels(self._render(stacked(landmarks)))

    def take(self) -> Pixels:
        """Its frames, RGB uint8 [B,S,S,3], of the caller's own."""
        return self._made.numpy()


class Graph:
    """A rendering of a fixed number of frames, from `face` to `pixels`, as one launch."""

    def __init__(self, render: Render, like: Face) -> None:
        """Captures `render` for faces of the shape of `like`."""
        self.face = Face(*(part.clone() for part in like))
        stream = torch.cuda.Stream(like.value.device)  # type: ignore[no-untyped-call]
        # Streams and graphs have memory of their own: without this, earlier ones' would stay.
        _release(like.value.device)
        stream.wait_stream(torch.cuda.current_stream(like.value.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                as_pixels(render(self.face))
        torch.cuda.current_stream(like.value.device).wait_stream(stream)
        _release(like.value.device)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.pixels = as_pixels(render(self.face))


class GpuLane:
    """A lane with memory of its own around a graph that all lanes of a device share."""

    def __init__(self, graph: Graph, copying: torch.cuda.Stream) -> None:
        self._face = Face(*(torch.empty(part.shape, pin_memory=True) for part in graph.face))
        self._pixels = torch.empty(graph.pixels.shape, dtype=torch.uint8, pin_memory=True)
        self._made = torch.empty_like(graph.pixels)
        self._graph, self._copying = graph, copying
        self._rendered: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._arrived: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def give(self, landmarks: list[Landmarks]) -> None:
        """Begin to render a batch; returns at once."""
        with torch.cuda.device(self._made.device):
            parts = zip(self._face, stacked(landmarks), self._graph.face, strict=True)
            for pinned, given, fixed in parts:
                pinned.copy_(given)
                fixed.copy_(pinned, non_blocking=True)
            self._graph.graph.replay()
            self._made.copy_(self._graph.pixels)
            self._rendered.record()
            self._copying.wait_event(self._rendered)
            with torch.cuda.stream(self._copying):
                self._pixels.copy_(self._made, non_blocking=True)
                self._arrived.record()

    def take(self) -> Pixels:
        """As `HostLane`; waits for this batch alone."""
        self._arrived.synchronize()
        return self._pixels.numpy().copy()


def _release(device: torch.device) -> None:
    """Give back memory that is kept and not used."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()


def stacked(landmarks: list[Landmarks]) -> Face:
    """Faces as float32 tensors on the host."""
    value, matrix = (
        np.stack([np.asarray(face[part], np.float32) for face in landmarks]) for part in (0, 1)
    )
    scale = np.array([face.scale for face in landmarks], np.float32)
    return Face(*(torch.from_numpy(part) for part in (value, matrix, scale)))


def as_pixels(pictures: Tensor) -> Tensor:
    """[B,3,H,W] in 0..1 -> uint8 [B,H,W,3], rounded, where they are."""
    return (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
