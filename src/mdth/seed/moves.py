"""What head, eyes and brows do in one frame, and with the speech: what drives the generator."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import landmarks68
from mdth.face.geometry import NECK
from mdth.face.smoothing import one_euro
from mdth.face.topology import BROWS
from mdth.motion.head import EYE_RADIUS, GAZE_LIMIT_DEG, HeadState
from mdth.seed.artefacts import FPS, Faces

# Face frame (x right, y down, z away) to model and camera space (y up, z to the viewer).
FLIP = np.array([1.0, -1.0, -1.0])
IRIS_POINTS = (3, 4)
# Upper lid points and the lower ones they meet; how much of the way the upper goes.
LID_PAIRS = np.array([[37, 41], [38, 40], [43, 47], [44, 46]])
UPPER_LID_SHARE = 0.85
MM_PER_M = 1000.0
# FaceFormer's landmarks are the 51 after the jaw.
FIRST_SPOKEN = 17
_BROW_ROWS = np.array(
    [int(np.flatnonzero(BROWS == v)[0]) for v in landmarks68.VERTICES[landmarks68.BROWS]]
)


class Move(NamedTuple):
    """Relative to the source.

    rotation: [3,3], camera space (x right, y up, z to the viewer), about the model's origin.
    shift_px: [2], of the model's origin in the crop. upper: [68,3] mm, model space; 0 at the mouth.
    """

    rotation: FloatArray
    shift_px: FloatArray
    upper: FloatArray


def still() -> Iterator[Move]:
    """The source's own pose, for ever."""
    rest = Move(np.eye(3), np.zeros(2), np.zeros((landmarks68.COUNT, 3)))
    while True:
        yield rest


def generated(states: Iterable[HeadState], source: Faces) -> Iterator[Move]:
    """The embedded engine's generated motion (`retarget.head.generated`), for this source.

    source: one frame. Its head turns about the neck; nearer and further are left out.
    """
    landmarks = np.asarray(source.landmarks[0], np.float64)
    turn, scale = np.asarray(source.modelview[0, :3, :3], np.float64), float(source.scale[0])
    left, right = landmarks[list(landmarks68.OUTER_EYE_CORNERS)]
    unit_mm = float(np.linalg.norm(right - left))
    neck = turn @ ((left + right) / 2 + NECK * FLIP * unit_mm)
    for state in states:
        rotation = state.rotation * np.outer(FLIP, FLIP)
        way_mm = neck - rotation @ neck + state.translation * FLIP * unit_mm
        shift_px = scale * way_mm[:2] * FLIP[:2]
        yield Move(rotation, shift_px, _upper(landmarks, state, unit_mm))


def _upper(landmarks: FloatArray, state: HeadState, unit_mm: float) -> FloatArray:
    """[68,3] mm for blinks, gaze and brows."""
    moved = np.zeros_like(landmarks)
    moved[landmarks68.BROWS] = state.brows[_BROW_ROWS] * FLIP * unit_mm
    closed = np.repeat(np.clip(state.closed, 0, 1), 2)[:, None]
    upper, lower = LID_PAIRS.T
    gaps = closed * (landmarks[lower] - landmarks[upper])
    moved[upper] += UPPER_LID_SHARE * gaps
    moved[lower] -= (1 - UPPER_LID_SHARE) * gaps
    angles = np.deg2rad(np.clip(state.gaze_deg, -GAZE_LIMIT_DEG, GAZE_LIMIT_DEG))
    moved[list(IRIS_POINTS), :2] = EYE_RADIUS * unit_mm * np.sin(angles) * FLIP[:2]
    return moved


def smoothed(track: FloatArray) -> FloatArray:
    """A track [T,...] of rad, px or PCA coefficients, through the published one-euro filter."""
    if len(track) < 2:
        return track
    # The published time step: the track's duration over one step fewer than it has frames.
    fps = FPS * (len(track) - 1) / len(track)
    return one_euro(track, fps=fps, min_cutoff_hz=1, beta=1, from_filtered=True)


def angles(rotations: FloatArray) -> FloatArray:
    """[T,3] rad of rotations [T,3,3] = Rz Ry Rx: about x, y and z."""
    about_y = np.arcsin(np.clip(-rotations[..., 2, 0], -1, 1))
    about_x = np.arctan2(rotations[..., 2, 1], rotations[..., 2, 2])
    about_z = np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0])
    return np.asarray(np.stack([about_x, about_y, about_z], axis=-1))


def rotation_from(radians: FloatArray) -> FloatArray:
    """The inverse of `angles` for one [3]."""
    turns = [np.eye(3) for _ in range(3)]
    for axis, angle in enumerate(radians):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turns[axis][one, one] = turns[axis][two, two] = np.cos(angle)
        turns[axis][one, two], turns[axis][two, one] = -np.sin(angle), np.sin(angle)
    return np.asarray(turns[2] @ turns[1] @ turns[0])


class Driving(NamedTuple):
    """landmarks: [68,3] mm, model space. view: U [4,4], takes rows [x y z 1] to px."""

    landmarks: FloatArray
    view: FloatArray


class SeedDriver:
    """Turns speech and moves into what drives one source. amplitude: of the mouth, 1 as spoken."""

    def __init__(self, source: Faces, *, amplitude: float = 1.0) -> None:
        self._landmarks = np.asarray(source.landmarks[0], np.float64)
        self._modelview = np.asarray(source.modelview[0], np.float64)
        self._screen = np.asarray(source.screen[0], np.float64)
        self._origin = np.asarray(source.origin_px[0], np.float64)
        self._amplitude = amplitude
        self.source = Driving(self._landmarks, (self._screen @ self._modelview).T)

    def drive(self, spoken: FloatArray, move: Move) -> Driving:
        """spoken: [51,3] m, how far FaceFormer's landmarks 17..67 are from its template's.

        The mouth is the source's own, moved by the speech; everything else by the move.
        """
        landmarks = self._landmarks + move.upper
        way_mm = MM_PER_M * self._amplitude * spoken[landmarks68.MOUTH - FIRST_SPOKEN]
        landmarks[landmarks68.MOUTH] = self._landmarks[landmarks68.MOUTH] + way_mm
        return Driving(landmarks, self._view(move))

    def _view(self, move: Move) -> FloatArray:
        modelview = self._modelview.copy()
        modelview[:3, :3] = move.rotation @ modelview[:3, :3]
        whole = self._screen @ modelview
        whole[:2, 3] = self._origin + move.shift_px
        return np.asarray(whole.T)
