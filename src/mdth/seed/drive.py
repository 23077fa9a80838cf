"""Source, speech and move -> landmarks and view, what the seed's generator is driven by."""

from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import landmarks68
from mdth.seed.artefacts import Faces
from mdth.seed.moves import Move

MM_PER_M = 1000.0
# FaceFormer's landmarks are the 51 after the jaw.
FIRST_SPOKEN = 17


class Driving(NamedTuple):
    """landmarks: [68,3] mm, model space. view: U [4,4], takes rows [x y z 1] to px."""

    landmarks: FloatArray
    view: FloatArray


class SeedDriver:
    """Turns speech and moves into what drives one source. amplitude: of the mouth, 1 as spoken."""

    def __init__(self, source: Faces, *, amplitude: float = 1.0) -> None:
        self._landmarks = np.asarray(source.landmarks[0], np.float64)
        self._modelview = np.asarray(source.modelview[0], np.float64)
        self._screen = np.asarray(source.screen[0], np.float64)
        self._origin = np.asarray(source.origin_px[0], np.float64)
        self._amplitude = amplitude
        self.source = Driving(self._landmarks, (self._screen @ self._modelview).T)

    def drive(self, spoken: FloatArray, move: Move) -> Driving:
        """spoken: [51,3] m, how far FaceFormer's landmarks 17..67 are from its template's.

        The mouth is the source's own, moved by the speech; everything else by the move.
        """
        landmarks = self._landmarks + move.upper
        way_mm = MM_PER_M * self._amplitude * spoken[landmarks68.MOUTH - FIRST_SPOKEN]
        landmarks[landmarks68.MOUTH] = self._landmarks[landmarks68.MOUTH] + way_mm
        return Driving(landmarks, self._view(move))

    def _view(self, move: Move) -> FloatArray:
        modelview = self._modelview.copy()
        modelview[:3, :3] = move.rotation @ modelview[:3, :3]
        whole = self._screen @ modelview
        whole[:2, 3] = self._origin + move.shift_px
        return np.asarray(whole.T)
