"""Pairs of frames of a clip, as batches on a device."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from mdth.bfv2v.landmarks import SCALE
from mdth.bfv2v.motion import Face
from mdth.errors import InputError
from training.generator.packed import Packed

BRIGHTNESS, TINT = 0.15, 0.05


class Pair(NamedTuple):
    """B sources and B frames to be made of them: pictures [B,3,S,S] in 0..1 and faces."""

    source: Tensor
    source_face: Face
    driving: Tensor
    driving_face: Face


class Clips:
    """Frames of some clips, all on the device; drawn in pairs of one clip each.

    side: of the pictures, px; the landmarks go with it. The last clips by number are held out.
    """

    def __init__(self, packed: Packed, *, side: int, held_out: int, device: torch.device) -> None:
        self._packed, self._side, self._device = packed, side, device
        self._pictures = torch.stack(
            [torch.from_numpy(self._picture(index)) for index in range(len(packed.ends))]
        ).to(device)
        count = len(packed.names)
        if not 0 < held_out < count:
            raise InputError(f"{held_out} of {count} clips cannot be held out; pack more clips")
        frames = [np.flatnonzero(packed.clip == clip) for clip in range(count)]
        usable = [found for found in frames if len(found) > 1]
        self.train, self.test = usable[:-held_out], usable[-held_out:]

    def draw(self, count: int, random: np.random.Generator) -> Pair:
        """Random pairs of the training clips, each in another light."""
        clips = [self.train[index] for index in random.integers(len(self.train), size=count)]
        chosen = np.array([random.choice(clip, 2, replace=False) for clip in clips])
        pair = self.pair(chosen[:, 0], chosen[:, 1])
        low, high = 1 - BRIGHTNESS, 1 + BRIGHTNESS
        light = random.uniform(low, high, (count, 1)) * random.uniform(
            1 - TINT, 1 + TINT, (count, 3)
        )
        gain = torch.tensor(light, dtype=torch.float32, device=self._device)[..., None, None]
        return pair._replace(
            source=(pair.source * gain).clamp(0, 1), driving=(pair.driving * gain).clamp(0, 1)
        )

    def held_out(self, each: int) -> Pair:
        """For each held-out clip its first frame and `each` others, evenly spread."""
        sources, drivings = [], []
        for clip in self.test:
            others = clip[np.linspace(1, len(clip) - 1, min(each, len(clip) - 1)).astype(int)]
            drivings += list(others)
            sources += [clip[0]] * len(others)
        return self.pair(np.array(sources), np.array(drivings))

    def pair(self, source: np.ndarray, driving: np.ndarray) -> Pair:
        """Of frames by number."""
        return Pair(*self._faces(source), *self._faces(driving))

    def _faces(self, chosen: np.ndarray) -> tuple[Tensor, Face]:
        wanted = torch.from_numpy(chosen).to(self._device)
        pixels = self._pictures[wanted].permute(0, 3, 1, 2).float() / 255
        ratio = self._side / (2 * SCALE)
        # A smaller picture has a smaller scale: value is landmarks / scale, U leads to its pixels.
        matrix = self._packed.U[chosen] * np.array([ratio, ratio, ratio, 1], np.float32)
        face = Face(
            torch.from_numpy(self._packed.value[chosen] / np.float32(ratio)),
            torch.from_numpy(matrix),
            torch.full((len(chosen),), SCALE * ratio),
        )
        return pixels, Face(*(part.to(self._device) for part in face))

    def _picture(self, index: int) -> np.ndarray:
        picture = self._packed.frame(index)
        if len(picture) == self._side:
            return picture.copy()
        size = (self._side, self._side)
        return np.array(PillowImage.fromarray(picture).resize(size, PillowImage.Resampling.BOX))
