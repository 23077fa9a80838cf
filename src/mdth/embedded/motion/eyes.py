"""Blinks, gaze and brows of this portrait, in the face frame, in eye distances."""

from functools import cache

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion.spread import spread
from mdth.face import topology
from mdth.face.topology import BROWS, EYES, IRISES
from mdth.motion.head import EYE_RADIUS, GAZE_LIMIT_DEG

# The upper lid's share of the way to the lower, from the outer corner to the inner: near a corner
# the lids meet half way, else the skin beside it folds over (tried on 363 portraits).
UPPER_LID_SHARE = np.array([0.65, 0.8, 0.88, 0.92, 0.88, 0.75, 0.5])[:, None]
# How much of its lid's way the skin goes along: outline, first ring, second ring.
UPPER_FOLLOW = np.array([1.0, 0.35, 0.11])
LOWER_FOLLOW = np.array([1.0, 0.5, 0.2])
# An eye can open wider than in the portrait by this share of its opening.
WIDEST = -0.25
# The lids follow the iris up and down by this share of its way.
LID_FOLLOWS_GAZE = 0.5

# The second ring of skin, where the rims of glasses are.
UNDER_GLASSES = np.concatenate([rows[2] for rows in EYES])
_TOP = np.arange(1, 8)
_BOTTOM = 16 - _TOP


@cache
def _brow_skin() -> FloatArray:
    """[478,20] from the brows: the forehead above and the lids below follow."""
    lids = np.concatenate([topology.EYE_LEFT, topology.EYE_RIGHT])
    below = np.flatnonzero(topology.CANONICAL[:, 1] > 0.05)
    return spread(BROWS, np.concatenate([lids, below, topology.FACE_OVAL]))


def move_brows(offsets: FloatArray) -> FloatArray:
    """Offsets [478,3] of the face for offsets [20,3] of `BROWS`."""
    return np.asarray(_brow_skin() @ offsets)


def move_lids(face: FloatArray, closed: FloatArray) -> FloatArray:
    """Offsets [478,3] that close the eyes of `face` [478,3] by `closed` [2] (left, right).

    0 leaves the eye as the portrait has it, 1 shuts it: each upper lid vertex meets its partner on
    the lower lid, whatever the portrait's opening. Below 0 it opens wider. Irises stay.
    """
    offsets = np.zeros((topology.VERTEX_COUNT, 3))
    for rows, amount in zip(EYES, np.clip(closed, WIDEST, 1), strict=True):
        gaps = (face[rows[0, _BOTTOM]] - face[rows[0, _TOP]]) * amount
        offsets[rows[:, _TOP]] = UPPER_LID_SHARE * gaps * UPPER_FOLLOW[:, None, None]
        offsets[rows[:, _BOTTOM]] = (UPPER_LID_SHARE - 1) * gaps * LOWER_FOLLOW[:, None, None]
    return offsets


def move_gaze(face: FloatArray, gaze_deg: FloatArray, closed: FloatArray) -> FloatArray:
    """Offsets [478,3] for eyes turned by `gaze_deg` [2] (viewer's right, down).

    The irises move in the plane of the eyes; open lids follow them a little up and down.
    """
    angles = np.deg2rad(np.clip(gaze_deg, -GAZE_LIMIT_DEG, GAZE_LIMIT_DEG))
    shift = EYE_RADIUS * np.sin(angles)
    offsets = np.zeros((topology.VERTEX_COUNT, 3))
    for rows, iris, amount in zip(EYES, IRISES, closed, strict=True):
        offsets[iris, :2] = shift
        down = LID_FOLLOWS_GAZE * shift[1] * (1 - np.clip(amount, 0, 1))
        profile = np.sin(np.pi * _TOP / 8)
        offsets[rows[:, _TOP], 1] = UPPER_FOLLOW[:, None] * profile * down
        offsets[rows[:, _BOTTOM], 1] = 0.5 * LOWER_FOLLOW[:, None] * profile * down
    return offsets
