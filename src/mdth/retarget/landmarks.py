"""Landmarks of another face, FLAME's for one -> the movement of the 478-vertex face."""

from functools import cache

import numpy as np
import numpy.typing as npt

from mdth.face import geometry, topology
from mdth.retarget import mouth
from mdth.retarget.spread import spread

FloatArray = npt.NDArray[np.floating]

# Where the 51 landmarks 17 to 67 of the 68-point scheme lie: brows, nose, eyes, lips.
LANDMARKS = np.array(
    "70 63 105 66 107 336 296 334 293 300 "
    "168 197 5 4 98 97 2 326 327 "
    "33 160 158 133 153 144 362 385 387 263 373 380 "
    "61 39 37 0 267 269 291 405 314 17 84 181 "
    "78 81 13 311 308 402 14 178".split(),
    np.intp,
)
_OUTER_LIPS = np.arange(31, 43)
_INNER_LIPS = np.arange(43, 51)
_LOWER_LIP = np.arange(39, 42)
_OUTER_EYE_CORNERS = (19, 28)
# What keeps its distance to the skull: root of the nose, its base, the corners of the eyes.
_STEADY = np.array([10, 11, 12, 13, 16, 19, 22, 25, 28])


def flame_to_face(offsets: FloatArray, neutral: FloatArray) -> FloatArray:
    """Offsets [T,478,3] of the face, face frame, in eye distances.

    offsets: [T,51,3], how far the landmarks 17..67 of a FLAME (or any other) mesh are from those at
    rest. neutral: [51,3], those at rest, same unit and frame, the head's own turn included: both
    are found from where the landmarks lie. The jaw follows the lower lip.
    """
    unit = float(np.linalg.norm(np.subtract(*neutral[list(_OUTER_EYE_CORNERS)])))
    # Face frame = scale * rotation @ theirs; the scale is the eye distance, not the best fit's.
    template = topology.CANONICAL[LANDMARKS[_STEADY]]
    rotation = geometry.fit_similarity(template[None], neutral[_STEADY]).rotation[0]
    turned = np.asarray(offsets, np.float64) @ rotation.T / unit
    moved: FloatArray = np.einsum("vl,tlc->tvc", _matrix(), turned, optimize=True)
    return moved


@cache
def _matrix() -> FloatArray:
    """[478,51] from landmarks to vertices: handles between the landmarks, then the skin around."""
    others = np.arange(31)
    outer = _along(topology.LIPS_OUTER, _OUTER_LIPS)
    inner = _along(topology.LIPS_INNER, _INNER_LIPS)
    jaw = np.zeros((len(mouth.JAW), len(LANDMARKS)))
    chin_share = mouth.CHIN_SHARE[1]
    jaw[:, _LOWER_LIP] = chin_share * mouth.JAW_SHARES[:, None] / len(_LOWER_LIP)
    handles = [LANDMARKS[others], topology.LIPS_OUTER, topology.LIPS_INNER, mouth.JAW]
    fixed = np.setdiff1d(topology.RIGID, LANDMARKS)
    parts = [np.eye(len(LANDMARKS))[others], outer, inner, jaw]
    matrix: FloatArray = spread(np.concatenate(handles), fixed) @ np.concatenate(parts)
    return matrix


def _along(outline: npt.NDArray[np.intp], marks: npt.NDArray[np.intp]) -> FloatArray:
    """[20,51]: each vertex of a closed outline between the two landmarks beside it.

    The place along the outline is taken from left to right, so that facing vertices of the upper
    and the lower lip get the same shares and meet where the landmarks do.
    """
    matrix = np.zeros((len(outline), len(LANDMARKS)))
    places = {int(vertex): place for place, vertex in enumerate(outline)}
    stops = [places[int(LANDMARKS[mark])] for mark in marks]
    across = _across(outline)
    ends = [*zip(marks, stops, strict=True), (marks[0], len(outline))]
    for (first, start), (second, end) in zip(ends[:-1], ends[1:], strict=True):
        for place in range(start, end):
            low, here, high = across[start], across[place], across[end % len(outline)]
            share = (here - low) / (high - low)
            matrix[place, first] += 1 - share
            matrix[place, second] += share
    return matrix


def _across(outline: npt.NDArray[np.intp]) -> FloatArray:
    """How far right each vertex of a lip outline lies, the mean of the upper and the lower one."""
    x = topology.CANONICAL[outline, 0].astype(np.float64)
    facing = -np.arange(len(outline)) % len(outline)
    mean: FloatArray = (x + x[facing]) / 2
    return mean
