"""A source picture and landmarks -> frames."""

import itertools
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from mdth.artefacts import Frame
from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.landmarks import Landmarks
from mdth.bfv2v.lanes import GpuLane, Graph, HostLane, Pixels, stacked
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator
from mdth.errors import DeviceError

log = logging.getLogger("mdth")
Lane = HostLane | GpuLane

BATCH = {"cuda": 8, "cpu": 1}
"""Frames rendered at once, where the caller does not say and the memory is large enough."""
FRAME_BYTES = 400 << 20
"""What a frame of full size may take of a GPU's memory while it is rendered, at most."""
AHEAD = 3
"""Batches under way on a GPU, all of which are taken before the first frame is given."""
PRECISION = {"cuda": torch.float16, "cpu": torch.float32}
WIDER = torch.bfloat16
"""For weights whose activations float16 cannot hold."""


class Predictor:
    """A generator on a device, and the source it was given last. Raises DeviceError.

    precision: of the convolutions; float16 on a GPU and float32 on a CPU where it is not given.
    """

    tf32 = False
    """Whether a GPU may round the factors of float32 convolutions to 10 bits, torch's default."""

    def __init__(
        self,
        generator: Generator,
        device: str | torch.device = "cpu",
        *,
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = found_device(device)
        self.config = generator.config
        self.precision = precision or PRECISION[self.device.type]
        self.generator = generator
        self.widened = False
        self._lanes: dict[int, list[Lane]] = {}
        self.renderer = self.new_renderer()

    @torch.inference_mode()
    def source(self, picture: Frame, landmarks: Landmarks) -> None:
        """Take a picture RGB uint8 [S,S,3] and its landmarks, S as the YAML's (256).

        Raises ValueError for other shapes.
        """
        side = self.config.frame_size
        if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
            raise ValueError(f"a source is uint8 ({side}, {side}, 3), not {picture.shape}")
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device)
        pixels = pixels.permute(2, 0, 1)[None].float() / 255
        face = Face(*(part.to(self.device) for part in stacked([landmarks])))
        with exact(tf32=self.tf32):
            self.renderer.source(pixels, face)
            if self.precision is torch.float16 and not self._holds(face):
                log.warning("these weights need more than float16 can hold; using bfloat16")
                self.precision, self.widened = WIDER, True
                self._lanes.clear()
                self.renderer = self.new_renderer()
                self.renderer.source(pixels, face)

    def frames(self, driving: Iterable[Landmarks], *, batch: int | None = None) -> Iterator[Frame]:
        """A frame RGB uint8 [S,S,3] for each of the driving landmarks, in their order.

        batch: frames rendered at once. The last batch is filled up, so that a frame's bytes depend
        on its place in its batch alone. On a GPU, `AHEAD` batches are under way.
        """
        size = batch_size(self.device, batch)
        for frames in self.batches(in_batches(driving, size), size):
            yield from frames

    @torch.inference_mode()
    def batches(self, driving: Iterable[list[Landmarks]], size: int) -> Iterator[Pixels]:
        """Frames [n,S,S,3] for each batch of up to `size` landmarks, the next only when due."""
        remaining = iter(driving)
        lanes: list[Lane] = []
        under_way: deque[tuple[Lane, int]] = deque()
        for number in itertools.count():
            if lanes and len(under_way) == len(lanes):
                yield _taken(under_way)
            chosen = next(remaining, None)
            if chosen is None:
                break
            filled = chosen + chosen[-1:] * (size - len(chosen))
            lanes = lanes or self._ready_lanes(filled)
            lane = lanes[number % len(lanes)]
            with exact(tf32=self.tf32):
                lane.give(filled)
            under_way.append((lane, len(chosen)))
        while under_way:
            yield _taken(under_way)

    def _ready_lanes(self, like: list[Landmarks]) -> list[Lane]:
        if len(like) not in self._lanes:
            self._lanes.clear()
            self._lanes[len(like)] = self._new_lanes(like)
        return self._lanes[len(like)]

    def _new_lanes(self, like: list[Landmarks]) -> list[Lane]:
        if self.device.type == "cpu":
            return [HostLane(self.renderer.render)]
        with torch.cuda.device(self.device), exact(tf32=self.tf32):
            face = Face(*(part.to(self.device) for part in stacked(like)))
            graph = Graph(self.renderer.render, face)
            copying = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            return [GpuLane(graph, copying) for _ in range(AHEAD)]

    def new_renderer(self) -> FastRenderer:
        """What turns faces into pictures, in `precision`."""
        return FastRenderer(self.generator, self.device, self.precision)

    def _holds(self, face: Face) -> bool:
        # In a batch of the usual size: what is compiled for it will be needed.
        count = BATCH[self.device.type]
        face = Face(*(part.expand(count, *part.shape[1:]) for part in face))
        return bool(torch.isfinite(self.renderer.render(face)).all())


def found_device(name: str | torch.device) -> torch.device:
    """A device that is there, by its number. Raises DeviceError."""
    device = torch.device(name)
    if device.type not in BATCH:
        raise DeviceError(f"{device}: use cpu, or cuda:0 and so on")
    if device.type == "cuda":
        count, number = torch.cuda.device_count(), device.index or 0
        if number >= count:
            raise DeviceError(f"{device}: torch {torch.__version__} finds {count} GPUs")
        return torch.device("cuda", number)
    return device


def batch_size(device: torch.device, wanted: int | None) -> int:
    """Frames rendered at once on a device, 1 or more. Raises ValueError for less than 1."""
    if wanted is not None and wanted < 1:
        raise ValueError(f"a batch of {wanted}; give at least 1")
    usual = BATCH[device.type]
    if wanted or device.type == "cpu":
        return wanted or usual
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(usual, free // FRAME_BYTES))


def exact(*, tf32: bool = False) -> AbstractContextManager[None]:
    """The same convolutions in every process; float32 ones in float32 unless `tf32`."""
    made: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
    )
    return made


def in_batches(driving: Iterable[Landmarks], size: int) -> Iterator[list[Landmarks]]:
    """So many at a time."""
    remaining = iter(driving)
    return iter(lambda: list(itertools.islice(remaining, size)), [])


def _taken(under_way: deque[tuple[Lane, int]]) -> Pixels:
    lane, count = under_way.popleft()
    return lane.take()[:count]
