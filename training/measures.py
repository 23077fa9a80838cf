"""What a mouth does, as numbers: of tracked faces, of predicted ones, and as losses."""

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import geometry, topology

# Opening and width of the inner lips; how high the upper lip and the corners are; how far the lips
# stand out; how low the chin is. All in eye distances.
NAMES = ("opening", "width", "upper lip", "corners", "protrusion", "chin")
_UPPER, _LOWER = topology.LIP_MID_PAIR
_LEFT, _RIGHT = topology.MOUTH_CORNERS
_OUTER_CORNERS = [61, 291]
_RED = [0, 17, _UPPER, _LOWER]
_CHIN = 152


# For each vertex the one on the other side; the canonical face is symmetric. Irises: centre, then
# the points to the right, above, to the left and below.
_FLIPPED = topology.CANONICAL * np.array([-1, 1, 1], np.float32)
MIRROR = np.concatenate([
    np.square(topology.CANONICAL[:, None] - _FLIPPED).sum(-1).argmin(1),
    [473, 476, 475, 474, 477], [468, 471, 470, 469, 472],
])  # fmt: skip


def measures(faces: FloatArray) -> FloatArray:
    """[...,6] of faces [...,478,3] in the face frame, as in NAMES."""
    return np.stack([
        geometry.lip_opening(faces),
        geometry.mouth_width(faces),
        -faces[..., _UPPER, 1],
        -faces[..., _OUTER_CORNERS, 1].mean(axis=-1),
        -faces[..., _RED, 2].mean(axis=-1),
        faces[..., _CHIN, 1],
    ], axis=-1)  # fmt: skip


def linear(basis: FloatArray) -> FloatArray:
    """[K,6]: the same, as linear functions of the coefficients of a basis [K,478,3]."""
    return np.stack([
        basis[:, _LOWER, 1] - basis[:, _UPPER, 1],
        basis[:, _RIGHT, 0] - basis[:, _LEFT, 0],
        -basis[:, _UPPER, 1],
        -basis[:, _OUTER_CORNERS, 1].mean(axis=-1),
        -basis[:, _RED, 2].mean(axis=-1),
        basis[:, _CHIN, 1],
    ], axis=-1)  # fmt: skip


def predicted(coefficients: FloatArray, basis: FloatArray, neutral: FloatArray) -> FloatArray:
    """Measures [T,6] of coefficients [T,K] on a neutral face [478,3]."""
    offsets = np.tensordot(coefficients, basis, axes=1)
    return measures(neutral + offsets)
