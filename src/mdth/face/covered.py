"""Whether something is before a mouth: a mask, a hand, a microphone.

Directions of edges around the mouth, weighed as `mdth.face.glasses` does; the weights
(`weights/covered.npz`, card beside it) are made by `training.covered`.
"""

from pathlib import Path

from mdth.artefacts import FloatArray, Frame
from mdth.face import glasses

WEIGHTS = Path(__file__).parents[1] / "weights" / "covered.npz"
# The patch around the mouth: so many px per eye distance.
UNIT = 170
LIPS = [61, 291, 0, 17]
# A mouth is covered above this likelihood: few faces turned aside reach 0.9, masks 0.99.
SURE = 0.95


def patch(picture: Frame, mesh: FloatArray) -> Frame:
    """The face's mouth upright at a fixed size, RGB [160,200,3]."""
    return glasses.patch(picture, mesh, unit=UNIT, middle=mesh[LIPS, :2].mean(0))[0]


def features(mouth: Frame) -> FloatArray:
    """Histograms of edge directions of a patch, [2560]."""
    return glasses.features(mouth, rows=slice(None))


def likelihood(picture: Frame, mesh: FloatArray) -> float:
    """How likely the mouth of the face `mesh` [478,3] px of an RGB picture is covered, 0..1."""
    return glasses.likely(features(patch(picture, mesh)), WEIGHTS)
