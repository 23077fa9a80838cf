"""Upper lids that shut: their edge becomes a line, and their lashes go.

The mesh has one row of triangles from the lid's edge to its crease. When a blink stretches it over
the eye, lashes and the dark edge would be stretched with it into a smear. An extra row of vertices
goes along with the edge, the nearer to it the more the lid's plain skin above stretches.

Lashes of an open eye stand before the lid; stretched, they would cover it like a comb. They are
thin and dark across: filled from their sides while the lid comes down.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.motion import box
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

# How far lashes and the lid's dark edge reach, eye distances, and at most which share of the lid.
REACH = 0.035
SHARE = 0.6
# Widest lash, and how much of the lid's dark edge stays, eye distances.
WIDEST, EDGE_STAYS = 0.03, 0.012
# The lid reaches this much further than its crease.
BEYOND = 1.5
# Lids begin to lose their lashes when so much of the eye is covered, and have lost them at that.
BEGIN, END = 0.2, 0.6
# A shut lid's skin is evened out over this, eye distances, by so much.
EVEN, EVENLY = 0.006, 0.6
# Levels by which a lash is darker than the skin at its sides: from none of it to all.
DARKER = (4.0, 14.0)

# Lid edge and first ring of skin over the top, corner to corner, nine facing pairs for each eye.
EDGE = np.concatenate([eye[0, :9] for eye in topology.EYES])
RING = np.concatenate([eye[1, :9] for eye in topology.EYES])
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


def driving_vertices(
    mesh: FloatArray, new: FloatArray, driving: FloatArray, turn: FloatArray
) -> FloatArray:
    """Where they are in a frame, [18,2] px: as near to the lid's edge as its skin is stretched.

    new: `portrait_vertices` of the portrait's mesh. turn [2,2]: what the head's motion does to
    directions in the picture.
    """
    up, lid = ((ends - mesh[EDGE, :2]) @ turn.T for ends in (new, mesh[RING, :2]))
    was, now = (
        np.maximum(np.hypot(way[:, :1], way[:, 1:]), 1e-6)
        for way in (lid, driving[RING, :2] - driving[EDGE, :2])
    )
    return np.asarray(driving[EDGE, :2] + up * np.minimum(now / was, was / now))


def clear(frame: Frame, driving: FloatArray, *, shut: float, eye: int) -> None:
    """Fill the lashes on one upper lid of `frame` (RGB uint8 [H,W,3], changed in place).

    driving: [478,3] px. shut: 0..1, how much of the portrait's opening is covered. eye: 0 the
    viewer's left, 1 the right.
    """
    if shut <= BEGIN:
        return
    amount = float(smoothstep((shut - BEGIN) / (END - BEGIN)))
    unit = float(geometry.eye_distance(driving))
    reach = round(WIDEST * unit / 2)
    if reach < 1:
        return
    nine = slice(9 * eye, 9 * eye + 9)
    edge, ring = driving[EDGE[nine], :2], driving[RING[nine], :2]
    away = ring - edge
    length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    start = edge + away * np.minimum(1, EDGE_STAYS * unit / length)
    outline = np.concatenate([start, (edge + BEYOND * away)[::-1]])
    room = 2 * reach + 2
    low, high = box(outline, (frame.shape[1], frame.shape[0]), room=(room, room))
    if (high - low).min() < 3:
        return
    part = frame[low[1] : high[1], low[0] : high[0]]
    lid = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(lid, [np.round(outline - low).astype(np.int32)], 255, cv2.LINE_AA)
    inside = cv2.GaussianBlur(lid, (0, 0), max(0.7, 0.006 * unit)).astype(np.float32) / 255
    across = np.ones((1, 2 * reach + 1), np.uint8)
    filled = cv2.morphologyEx(part, cv2.MORPH_CLOSE, across).astype(np.float32)
    filled = np.asarray(cv2.GaussianBlur(filled, (0, 0), max(0.5, 0.004 * unit)))
    darker = cv2.transform(filled - part, np.full((1, 3), 1 / 3))
    share = smoothstep((darker - DARKER[0]) / (DARKER[1] - DARKER[0]))
    alpha = (amount * inside * share)[..., None]
    bare = np.asarray(part + alpha * (filled - part), np.float32)
    # What stretches is streaked; a lid is smooth.
    even = cv2.GaussianBlur(bare, (0, 0), max(0.5, EVEN * unit))
    bare += EVENLY * amount * inside[..., None] * (even - bare)
    part[:] = np.clip(bare + 0.5, 0, 255).astype(np.uint8)
