"""The skin of a shutting lid.

Lashes of an open eye stand before the lid; a blink that stretches the lid would stretch them over
it like a comb. They are thin and dark across: filled from their sides while the lid comes down.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render import lashes
from mdth.face import geometry
from mdth.face.smoothing import smoothstep

# Widest lash, and how much of the lid's dark edge stays, eye distances.
WIDEST, EDGE_STAYS = 0.03, 0.012
# The lid reaches this much further than its crease.
BEYOND = 1.5
# Lids begin to lose their lashes when so much of the eye is covered, and have lost them at that.
BEGIN, END = 0.2, 0.6
# Levels by which a lash is darker than the skin at its sides: from none of it to all.
DARKER = (4.0, 14.0)


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
    edge, ring = driving[lashes.EDGE[nine], :2], driving[lashes.RING[nine], :2]
    away = ring - edge
    length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    start = edge + away * np.minimum(1, EDGE_STAYS * unit / length)
    outline = np.concatenate([start, (edge + BEYOND * away)[::-1]])
    height, width = frame.shape[:2]
    room = 2 * reach + 2
    low = np.clip(np.floor(outline.min(0)).astype(int) - room, 0, [width, height])
    high = np.clip(np.ceil(outline.max(0)).astype(int) + room, low, [width, height])
    if (high - low).min() < 3:
        return
    part = frame[low[1] : high[1], low[0] : high[0]]
    lid = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(lid, [np.round(outline - low).astype(np.int32)], 255, cv2.LINE_AA)
    inside = cv2.GaussianBlur(lid, (0, 0), max(0.7, 0.006 * unit)).astype(np.float32) / 255
    across = np.ones((1, 2 * reach + 1), np.uint8)
    filled = cv2.morphologyEx(part, cv2.MORPH_CLOSE, across).astype(np.float32)
    filled = np.asarray(cv2.GaussianBlur(filled, (0, 0), max(0.5, 0.004 * unit)))
    darker = (filled - part).mean(-1)
    share = smoothstep((darker - DARKER[0]) / (DARKER[1] - DARKER[0]))
    alpha = (amount * inside * share)[..., None]
    part[:] = np.clip(part + alpha * (filled - part) + 0.5, 0, 255).astype(np.uint8)
