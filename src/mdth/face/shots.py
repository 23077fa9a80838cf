"""Where a clip is cut, from how much changes from frame to frame."""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology

THUMB = (32, 24)
# A cut changes the small picture by this much on average (Lab, 0..255), and so many times more
# than any frame near it does: 60 cuts between talking people have 3.1 times and more, 40 clips
# without a cut 2.2 at most, fades and flashes 1.5.
LEAST_CHANGE, STANDS_OUT, NEAR = 3.0, 2.5, 3
# The same of a head that jumps, in eye distances: where a clip of one person was shortened, often
# nothing else changes.
LEAST_JUMP, JUMP_STANDS_OUT = 0.15, 2.0
CALM, CALM_JUMP = 1.0, 0.03


def thumb(frame: Frame) -> FloatArray:
    """A small Lab picture of an RGB frame, float32 [24,32,3]."""
    small = cv2.resize(frame, THUMB, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)


def cuts(changes: FloatArray) -> npt.NDArray[np.bool_]:
    """Which frames [T] begin a shot; changes: mean difference of `thumb` from the one before."""
    return np.asarray((changes > LEAST_CHANGE) & (_standing_out(changes, CALM) > STANDS_OUT))


def jumps(meshes: FloatArray) -> npt.NDArray[np.bool_]:
    """Before which frames [T] the head of meshes [T,478,3] px, NaN where unseen, jumps."""
    rigid = np.asarray(meshes[:, topology.RIGID, :2])
    way = np.linalg.norm(np.diff(rigid, axis=0), axis=-1).mean(axis=1)
    eyes = np.array([float(geometry.eye_distance(mesh)) for mesh in meshes[:-1]])
    moves = np.nan_to_num(np.concatenate([[0.0], way / eyes]))
    return np.asarray((moves > LEAST_JUMP) & (_standing_out(moves, CALM_JUMP) > JUMP_STANDS_OUT))


def _standing_out(changes: FloatArray, calm: float) -> FloatArray:
    """How many times larger each of [T] is than the largest near it."""
    padded = np.pad(changes, NEAR)
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1).copy()
    near[:, NEAR] = 0
    return np.asarray(changes / (near.max(axis=1) + calm))
