"""Speech -> the 478-vertex face, by FaceFormer and another face's landmarks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.motion.landmarks import flame_to_face

if TYPE_CHECKING:
    from mdth.faceformer.export import FlameSpeech


class FlameFace:
    """Offsets float32 [478,3] like `SpeechToMesh`, which it can replace.

    The landmarks' way from the neutral face's is carried over; its lips are shut.
    """

    def __init__(self, speech: "FlameSpeech") -> None:
        self.speech = speech

    def stream(self, blocks: Iterable[FloatArray], fps: float) -> Iterator[npt.NDArray[np.float32]]:
        """One offsets frame for each video frame of a sound float [n], mono, 16 kHz, in blocks.

        The sound is heard to its end first. Raises SpeechTooShort under 0.3 s.
        """
        for way in self.speech.landmarks(blocks, fps):
            yield flame_to_face(way[None], self.speech.neutral)[0].astype(np.float32)


def load(engine: str, common: Path) -> FlameFace:
    """By the FaceFormer of "flame" or "biwi" under the seed's `warping-common/th`.

    Raises CheckpointError, MissingDependency.
    """
    from mdth.faceformer.export import FlameSpeech, load_biwi_speech

    return FlameFace((load_biwi_speech if engine == "biwi" else FlameSpeech.load)(common))
