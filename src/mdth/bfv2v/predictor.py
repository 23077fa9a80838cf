"""A source picture and landmarks -> frames."""

import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdth.artefacts import Frame
from mdth.bfv2v.checkpoint import load_generator
from mdth.bfv2v.fast import FastRenderer
from mdth.bfv2v.landmarks import Landmarks
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator
from mdth.config import config
from mdth.errors import DeviceError

log = logging.getLogger("mdth")
Pixels = npt.NDArray[np.uint8]

BATCH = {"cuda": 8, "cpu": 1}
"""Frames rendered at once, where the caller does not say and the memory is large enough."""
FRAME_BYTES = 1280 << 20
"""What a frame of full size may take of a GPU's memory while it is rendered, at most."""
AHEAD = 3
"""Batches under way on a GPU, all of which are taken before the first frame is given."""
COMPILED_FROM = 3000
"""Frames from which on it pays to compile on a GPU (`docs/performance.md`)."""
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
        self.precision = self._wanted = precision or PRECISION[self.device.type]
        self.generator = generator.to(self.device)
        self.renderer = self.new_renderer()

    @torch.inference_mode()
    def source(self, picture: Frame, landmarks: Landmarks, frames: int = 0) -> None:
        """Take a picture RGB uint8 [S,S,3] and its landmarks, S as the YAML's (256).

        frames: how many will be drawn; by that alone a GPU's renderer is compiled or not. Raises
        ValueError for other shapes.
        """
        side = self.config.frame_size
        if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
            raise ValueError(f"a source is uint8 ({side}, {side}, 3), not {picture.shape}")
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device)
        pixels = pixels.permute(2, 0, 1)[None].float() / 255
        face = self._placed([landmarks])
        with exact(tf32=self.tf32):
            self._take(pixels, face, self._wanted)
            if self.precision is torch.float16 and not self._holds(face):
                log.warning("these weights need more than float16 can hold; using bfloat16")
                self._take(pixels, face, WIDER)
            wanted = self.device.type == "cuda" and frames >= COMPILED_FROM
            self.renderer.compiled = wanted and self._compiles(face)

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
        under_way: deque[Callable[[], Pixels]] = deque()
        for chosen in driving:
            under_way.append(self._begun(chosen, size))
            if len(under_way) == (AHEAD if self.device.type == "cuda" else 1):
                yield under_way.popleft()()
        while under_way:
            yield under_way.popleft()()

    def _begun(self, chosen: list[Landmarks], size: int) -> Callable[[], Pixels]:
        """A batch on its way; what is returned waits for it."""
        face = self._placed(chosen + chosen[-1:] * (size - len(chosen)))
        with exact(tf32=self.tf32):
            made = as_pixels(self.renderer.render(face))
        # To pinned memory, beside what else the GPU does.
        frames = made[: len(chosen)].to("cpu", non_blocking=True)
        if self.device.type == "cpu":
            return frames.numpy
        arrived: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(torch.cuda.current_stream(self.device))

        def take() -> Pixels:
            arrived.synchronize()
            return frames.numpy()

        return take

    def _take(self, pixels: Tensor, face: Face, precision: torch.dtype) -> None:
        if precision is not self.precision:
            self.precision = precision
            self.renderer = self.new_renderer()
        self.renderer.compiled = False
        self.renderer.source(pixels, face)

    def _placed(self, landmarks: list[Landmarks]) -> Face:
        return Face(*(part.to(self.device) for part in stacked(landmarks)))

    def _compiles(self, face: Face) -> bool:
        """Whether torch can compile here; what it makes is kept among the user's caches."""
        if find_spec("triton") is None:
            return False
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(config().models / "compiled"))
        self.renderer.compiled = True
        try:
            self._drawn(face)
        except RuntimeError as error:
            # What torch.compile raises without a working C compiler or for a chip it does not know.
            reason = str(error).partition("\n")[0][:200]
            log.warning("torch.compile does not work here (%s): rendering is slower", reason)
            return False
        return True

    def new_renderer(self) -> FastRenderer:
        """What turns faces into pictures, in `precision`."""
        return FastRenderer(self.generator, self.device, self.precision)

    def _holds(self, face: Face) -> bool:
        return bool(torch.isfinite(self._drawn(face)).all())

    def _drawn(self, face: Face) -> Tensor:
        """A batch of the usual size."""
        size = batch_size(self.device, None)
        return self.renderer.render(Face(*(part.expand(size, *part.shape[1:]) for part in face)))


def warm(checkpoint: Path, yaml: Path, device: str) -> None:
    """Compile for a GPU what many frames are drawn with. Raises CheckpointError, DeviceError."""
    predictor = Predictor(load_generator(checkpoint, yaml), device)
    side = predictor.config.frame_size
    face = Landmarks(np.zeros((68, 3)), np.eye(4))
    predictor.source(np.zeros((side, side, 3), np.uint8), face, COMPILED_FROM)


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


def stacked(landmarks: list[Landmarks]) -> Face:
    """Faces as float32 tensors on the host."""
    value, matrix = (
        np.stack([np.asarray(face[part], np.float32) for face in landmarks]) for part in (0, 1)
    )
    scale = np.array([face.scale for face in landmarks], np.float32)
    return Face(*(torch.from_numpy(part) for part in (value, matrix, scale)))


def as_pixels(pictures: Tensor) -> Tensor:
    """[B,3,H,W] in 0..1 -> uint8 [B,H,W,3], rounded, where they are."""
    return (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).contiguous()
