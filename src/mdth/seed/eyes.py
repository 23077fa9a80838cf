"""A clip's eyes, brows and irises for another face, by the seed's PCA of their motion."""

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import landmarks68
from mdth.face.track import limit
from mdth.seed.artefacts import Faces
from mdth.seed.moves import IRIS_POINTS

# The basis counts its 24 points in this order, in units of 128 mm like the generator's input.
POINTS = np.concatenate([landmarks68.BROWS, landmarks68.EYES, IRIS_POINTS])
UNIT_MM = 128.0
NUMBERS = 3 * len(POINTS)
UPPER_LIDS = np.array([37, 38, 43, 44])
# Small coefficients leave the upper lids alone, those of a blink shut them.
LID_GAIN = 30.0
# Each side: its points, the inner corner that holds still, the outer one.
SIDES = (
    (np.array([*range(17, 22), *range(36, 42), 3]), 39, 36),
    (np.array([*range(22, 27), *range(42, 48), 4]), 42, 45),
)
# How far an iris goes to either side, as a share of its eye's width: the viewer's left and right.
IRIS_TRAVEL = (1 / 12, 1 / 24)


def eye_offsets(clip: Faces, source: Faces, basis: FloatArray) -> FloatArray:
    """Offsets [T,68,3] mm of the source's landmarks; 0 where neither eye nor brow is.

    clip: T frames. source: one. basis: V [72,K] of the PCA. The clip's motion is relative to its
    mean, measured from each eye's inner corner and scaled by the eyes' widths.
    """
    theirs: FloatArray = np.asarray(clip.landmarks, np.float64)
    ours: FloatArray = np.asarray(source.landmarks[0], np.float64)
    moved = np.zeros_like(theirs)
    for points, inner, outer in SIDES:
        scale = _width(ours, inner, outer) / _width(theirs, inner, outer).mean()
        way = theirs[:, points] - theirs[:, inner, None]
        moved[:, points] = scale * (way - way.mean(axis=0))
    weights = moved[:, POINTS].reshape(len(moved), -1) / UNIT_MM @ basis
    shown = np.zeros_like(moved)
    shown[:, POINTS] = _rebuilt(weights, basis)
    lids = np.zeros_like(moved)
    lids[:, POINTS] = _rebuilt(LID_GAIN * weights**3, basis)
    shown[:, UPPER_LIDS] = lids[:, UPPER_LIDS]
    for iris, (_, inner, outer), share in zip(IRIS_POINTS, SIDES, IRIS_TRAVEL, strict=True):
        reach = share * float(_width(ours, inner, outer))
        for axis in range(2):
            shown[:, iris, axis] = limit(shown[:, iris, axis], -reach, reach)
        shown[:, iris, 2] = 0
    return shown


def _rebuilt(weights: FloatArray, basis: FloatArray) -> FloatArray:
    """[T,24,3] mm from weights [T,K]."""
    return np.asarray(UNIT_MM * (weights @ basis.T).reshape(len(weights), -1, 3))


def _width(landmarks: FloatArray, inner: int, outer: int) -> FloatArray:
    return np.asarray(np.linalg.norm(landmarks[..., inner, :] - landmarks[..., outer, :], axis=-1))
