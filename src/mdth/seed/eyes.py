"""A clip's upper lids and irises for another face, by the published PCA of eye motion."""

from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import landmarks68
from mdth.face.track import limit
from mdth.seed.artefacts import Faces
from mdth.seed.moves import IRIS_POINTS, smoothed

# The basis counts its points in this order, and each from the inner corner of its own side.
POINTS = np.array([*IRIS_POINTS, *landmarks68.BROWS, *landmarks68.EYES])
CORNERS = np.array([39, 42, *[39] * 5, *[42] * 5, *[39] * 6, *[42] * 6])
NUMBERS = 3 * len(POINTS)
UPPER_LIDS = np.array([37, 38, 43, 44])
_LID_ROWS = np.array([list(POINTS).index(point) for point in UPPER_LIDS])
# Small coefficients leave the upper lids alone, those of a blink shut them.
LID_GAIN = 30.0
# The eye that tells the size of both.
_EYE = slice(36, 42)
# How far an iris goes to either side, as a share of the eye's extent: the viewer's left and right.
IRIS_TRAVEL = (1 / 12, 1 / 24)


class EyePca(NamedTuple):
    """singular: S [K], mm. basis: V [72,K]; both of `torch.pca_lowrank`."""

    singular: FloatArray
    basis: FloatArray


def eye_offsets(clip: Faces, source: Faces, pca: EyePca) -> FloatArray:
    """Offsets [T,68,3] mm of the source's landmarks; 0 but for upper lids and irises.

    clip: T frames, whose motion is about their mean. source: one.
    """
    theirs: FloatArray = np.asarray(clip.landmarks, np.float64)
    ours: FloatArray = np.asarray(source.landmarks[0], np.float64)
    way = theirs[:, POINTS] - theirs[:, CORNERS]
    weights = (way - way.mean(axis=0)).reshape(len(way), -1) @ pca.basis / pca.singular
    linear, cubic = (
        (smoothed(track) * pca.singular @ pca.basis.T).reshape(way.shape)
        for track in (weights, LID_GAIN * weights**3)
    )
    width, height = np.ptp(ours[_EYE, :2], axis=0)
    cubic[..., 1] *= height / np.ptp(theirs[:, _EYE, 1].mean(axis=0))
    moved = np.zeros_like(theirs)
    moved[:, UPPER_LIDS] = cubic[:, _LID_ROWS]
    for iris, track, share in zip(IRIS_POINTS, linear.swapaxes(0, 1), IRIS_TRAVEL, strict=False):
        for axis, extent in enumerate((width, height)):
            middle, reach = float(track[:, axis].mean()), share * float(extent)
            moved[:, iris, axis] = limit(track[:, axis], middle - reach, middle + reach)
        moved[:, iris, 2] = track[0, 2]
    return moved
