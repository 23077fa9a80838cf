"""Speech -> the 478-vertex face, by the seed's FaceFormer and the 51 landmarks of its meshes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion.landmarks import flame_to_face
from mdth.faceformer.files import biwi_files, flame_files

if TYPE_CHECKING:
    from mdth.faceformer.export import FlameSpeech

FILES = {"flame": flame_files, "biwi": biwi_files}


def files(kind: str, common: Path) -> list[Path]:
    """What "flame" or "biwi" reads of `warping-common/th`."""
    return FILES[kind](common)


def load(kind: str, common: Path) -> "FlameFace":
    """Raises CheckpointError, MissingDependency."""
    from mdth.faceformer.export import FlameSpeech, load_biwi_speech

    return FlameFace((load_biwi_speech if kind == "biwi" else FlameSpeech.load)(common))


class FlameFace:
    """Speaks with the landmarks of another face; all of a sound is heard before its first frame.

    The landmarks' way from the neutral face's is carried over; its lips are shut.
    """

    look_ahead_s = math.inf

    def __init__(self, speech: "FlameSpeech") -> None:
        self._speech = speech

    def open(self, fps: float) -> "SpokenFlame":
        """A speech that begins."""
        return SpokenFlame(self._speech, fps)


class SpokenFlame:
    """One speech; heard: samples so far."""

    def __init__(self, speech: "FlameSpeech", fps: float) -> None:
        self._neutral, self._spoken = speech.neutral, speech.open(fps)
        self.heard = 0

    def feed(self, block: FloatArray) -> Iterator[FloatArray]:
        """Hear some more; nothing is final yet."""
        self.heard += len(block)
        return map(self._offsets, self._spoken.feed(block))

    def finish(self) -> Iterator[FloatArray]:
        """All offsets, float32 [478,3]."""
        return map(self._offsets, self._spoken.finish())

    def _offsets(self, way: FloatArray) -> FloatArray:
        return np.asarray(flame_to_face(way[None], self._neutral)[0].astype(np.float32))
