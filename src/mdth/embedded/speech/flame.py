"""Speech -> the 478-vertex face, by the seed's FaceFormer and the 51 landmarks of its meshes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mdth.artefacts import FloatArray
from mdth.flame import paths

if TYPE_CHECKING:
    from mdth.faceformer.flame_speech import FlameSpeech

KINDS = {"flame": paths.vocaset, "biwi": paths.biwi}


def files(kind: str, common: Path) -> list[Path]:
    """What "flame" or "biwi" reads of `warping-common/th`."""
    return KINDS[kind](common)


def load(kind: str, common: Path) -> "FlameFace":
    """Raises CheckpointError, MissingDependency."""
    from mdth.faceformer import biwi_speech
    from mdth.faceformer.flame_speech import FlameSpeech

    loaded = biwi_speech.load(common) if kind == "biwi" else FlameSpeech.load(common)
    return FlameFace(loaded)


class FlameFace:
    """Speaks with the landmarks of another mesh; all of a sound is heard before its first frame."""

    look_ahead_s = math.inf

    def __init__(self, speech: "FlameSpeech") -> None:
        self._speech = speech

    def open(self, fps: float) -> "SpokenFlame":
        """A speech that begins."""
        return SpokenFlame(self._speech, fps)


class SpokenFlame:
    """One speech; `heard` in samples."""

    def __init__(self, speech: "FlameSpeech", fps: float) -> None:
        self._speech, self._fps = speech, fps
        self._blocks: list[FloatArray] = []
        self.heard = 0

    def feed(self, block: FloatArray) -> Iterator[FloatArray]:
        """Hear some more; nothing is final yet."""
        self._blocks.append(block)
        self.heard += len(block)
        return iter(())

    def finish(self) -> Iterator[FloatArray]:
        """All offsets."""
        return self._speech.stream(self._blocks, self._fps)
