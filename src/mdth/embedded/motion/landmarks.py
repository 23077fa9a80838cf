"""Landmarks of another face, FLAME's for one -> the movement of the 478-vertex face."""

from functools import cache

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion import mouth
from mdth.embedded.motion.spread import spread
from mdth.face import geometry, landmarks68, topology

# The landmarks 17 to 67 of the 68-point scheme on the mesh: brows, nose, eyes, lips.
LANDMARKS = landmarks68.VERTICES[17:]
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
    return np.asarray(np.einsum("vl,tlc->tvc", _matrix(), turned, optimize=True))


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
    return np.asarray(spread(np.concatenate(handles), fixed) @ np.concatenate(parts))


def _along(outline: topology.IndexArray, marks: topology.IndexArray) -> FloatArray:
    """[20,51]: each vertex of a closed lip outline on a smooth curve through the landmarks.

    The place along it is taken from left to right, so that facing vertices of the upper and the
    lower lip get the same shares and meet where the landmarks do.
    """
    matrix = np.zeros((len(outline), len(LANDMARKS)))
    across = _across(outline)
    half = len(outline) // 2
    corner = len(marks) // 2
    backwards = -np.arange(half + 1) % len(outline)
    back_marks = np.concatenate([marks[:1], marks[: corner - 1 : -1]])
    for places, through in ((np.arange(half + 1), marks[: corner + 1]), (backwards, back_marks)):
        knots = across[[int(np.flatnonzero(outline == LANDMARKS[mark])[0]) for mark in through]]
        matrix[np.ix_(places, through)] = _spline(knots, across[places])
    return matrix


def _spline(knots: FloatArray, at: FloatArray) -> FloatArray:
    """[len(at), K]: values of the natural cubic spline from its values at the knots [K]."""
    count, steps = len(knots), np.diff(knots)
    left, right = np.zeros((count, count)), np.zeros((count, count))
    left[0, 0] = left[-1, -1] = 1
    for knot in range(1, count - 1):
        before, after = steps[knot - 1 : knot + 1]
        left[knot, knot - 1 : knot + 2] = before, 2 * (before + after), after
        right[knot, knot - 1 : knot + 2] = 6 / before, -6 / before - 6 / after, 6 / after
    bends = np.linalg.solve(left, right)
    piece = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, count - 2)
    step = steps[piece][:, None]
    high = (at[:, None] - knots[piece][:, None]) / step
    low = 1 - high
    one = np.eye(count)
    line = low * one[piece] + high * one[piece + 1]
    bend = (low**3 - low) * bends[piece] + (high**3 - high) * bends[piece + 1]
    return np.asarray(line + bend * step**2 / 6)


def _across(outline: topology.IndexArray) -> FloatArray:
    """How far right each vertex of a lip outline lies, the mean of the upper and the lower one."""
    x = topology.CANONICAL[outline, 0].astype(np.float64)
    facing = -np.arange(len(outline)) % len(outline)
    return np.asarray((x + x[facing]) / 2)
