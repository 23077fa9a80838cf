"""A source picture and landmarks -> frames.

predictor = Predictor(load_generator(checkpoint, config), "cuda")
predictor.source(picture, landmarks)
for frame in predictor.frames(driving):
    ...
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mdth.artefacts import Frame
from mdth.bfv2v.generator.landmarks import Landmarks
from mdth.bfv2v.generator.motion import Face
from mdth.bfv2v.generator.network import Generator
from mdth.bfv2v.generator.plain import PlainRenderer
from mdth.errors import DeviceError

BATCH = {"cuda": 8, "cpu": 1}
"""Frames rendered at once, where the caller does not say."""
AHEAD = 3
"""Batches taken from the driving landmarks before the first frame is given."""


class Renderer(Protocol):
    """What turns faces into pictures, see `PlainRenderer`."""

    device: torch.device

    def source(self, picture: Tensor, face: Face) -> None:
        """Keep the source."""

    def render(self, face: Face) -> Tensor:
        """Pictures of driving faces."""


class Predictor:
    """A generator on a device, and the source it was given last. Raises DeviceError."""

    def __init__(self, generator: Generator, device: str | torch.device = "cpu") -> None:
        self.device = found_device(device)
        self.config = generator.config
        self.renderer: Renderer = PlainRenderer(generator, self.device)

    @torch.inference_mode()
    def source(self, picture: Frame, landmarks: Landmarks) -> None:
        """Take a picture RGB uint8 [S,S,3] and its landmarks, S as the YAML's (256).

        Raises ValueError for other shapes.
        """
        side = self.config.frame_size
        if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
            raise ValueError(f"a source is uint8 ({side}, {side}, 3), not {picture.shape}")
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self.device)
        self.renderer.source(pixels.permute(2, 0, 1)[None].float() / 255, self._face([landmarks]))

    @torch.inference_mode()
    def frames(self, driving: Iterable[Landmarks], *, batch: int | None = None) -> Iterator[Frame]:
        """A frame RGB uint8 [S,S,3] for each of the driving landmarks, in their order.

        batch: frames rendered at once. The last batch is filled up, so that a frame's bytes depend
        on its place in its batch alone.
        """
        size = batch_size(self.device.type, batch)
        remaining = iter(driving)
        while chosen := list(itertools.islice(remaining, size)):
            filled = chosen + chosen[-1:] * (size - len(chosen))
            pictures = as_pixels(self.renderer.render(self._face(filled))).cpu().numpy()
            yield from pictures[: len(chosen)]

    def _face(self, landmarks: list[Landmarks]) -> Face:
        value, matrix = (
            np.stack([np.asarray(face[part], np.float32) for face in landmarks]) for part in (0, 1)
        )
        scale = np.array([face.scale for face in landmarks], np.float32)
        return Face(*(torch.from_numpy(part).to(self.device) for part in (value, matrix, scale)))


def found_device(name: str | torch.device) -> torch.device:
    """A device that is there. Raises DeviceError."""
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"{device}: torch {torch.__version__} finds {count} GPUs")
    return device


def batch_size(kind: str, wanted: int | None) -> int:
    """Frames rendered at once on a kind of device. Raises ValueError for less than 1."""
    if wanted is not None and wanted < 1:
        raise ValueError(f"a batch of {wanted}; give at least 1")
    return wanted or BATCH.get(kind, 1)


def as_pixels(pictures: Tensor) -> Tensor:
    """[B,3,H,W] in 0..1 -> uint8 [B,H,W,3], rounded, where they are."""
    return (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
