"""A row of extra vertices above the upper lids' edges.

The mesh has one row of triangles from the lid's edge to its crease. When a blink stretches it over
the eye, lashes and the dark edge would be stretched with it into a smear. The extra row goes along
with the edge as it is, so that only the lid's plain skin above it stretches.
"""

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import geometry, topology

# How far lashes and the lid's dark edge reach, eye distances, and at most which share of the lid.
REACH = 0.035
SHARE = 0.6

# Lid edge and first ring of skin over the top, corner to corner, nine facing pairs for each eye.
_RING_LEFT, _RING_RIGHT = topology.LIDS_LEFT[:9], topology.LIDS_RIGHT[:9]
EDGE = np.concatenate([topology.EYE_LEFT[:9], np.roll(topology.EYE_RIGHT[::-1], -7)[:9]])
RING = np.concatenate([_RING_LEFT, _RING_RIGHT])
COUNT = len(EDGE)
# The corners stay on the outline.
_INNER = np.isin(np.arange(COUNT) % 9, range(1, 8))[:, None]


def triangles() -> topology.IndexArray:
    """Triangles [64,3] over the lids; the new vertices follow the mesh's 478."""
    new = topology.VERTEX_COUNT + np.arange(COUNT)
    rows = []
    for start in (0, 9):
        for i in range(start, start + 8):
            for lower, upper in ((EDGE, new), (new, RING)):
                rows.append([lower[i], lower[i + 1], upper[i]])
                rows.append([lower[i + 1], upper[i + 1], upper[i]])
    return np.array(rows, np.intp)


def portrait_vertices(mesh: FloatArray) -> FloatArray:
    """The new vertices [18,2] px of a portrait's mesh [478,3] px."""
    lid = mesh[RING, :2] - mesh[EDGE, :2]
    length = np.linalg.norm(lid, axis=1, keepdims=True)
    reach = np.minimum(SHARE, REACH * geometry.eye_distance(mesh) / np.maximum(length, 1e-6))
    return np.asarray(mesh[EDGE, :2] + np.where(_INNER, reach * lid, 0))


def driving_vertices(mesh: FloatArray, driving: FloatArray, turn: FloatArray) -> FloatArray:
    """Where they are in a frame, [18,2] px: they keep their distance from the lid's edge.

    turn [2,2]: what the head's motion does to directions in the picture.
    """
    up = (portrait_vertices(mesh) - mesh[EDGE, :2]) @ turn.T
    room = SHARE * np.linalg.norm(driving[RING, :2] - driving[EDGE, :2], axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-6)
    return np.asarray(driving[EDGE, :2] + up * np.minimum(1, room / length))
