"""A clip's motion, and cleaned for another face: relative, smooth, and within the warp's reach."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Motion
from mdth.embedded.motion.eyes import WIDEST
from mdth.face import geometry, topology
from mdth.face.follow import Followed
from mdth.face.geometry import NECK, rotation_from_euler_deg
from mdth.face.smoothing import one_euro, smoothstep
from mdth.face.topology import BROWS, IRISES
from mdth.face.track import (
    between,
    filled,
    filled_rotations,
    limit,
    nearest_rotations,
)
from mdth.motion.head import EYE_RADIUS, GAZE_LIMIT_DEG, HeadState

EULER_LIMIT_DEG = 12.0
TRANSLATION_LIMITS = np.array([0.25, 0.25, 0.5])
BROW_LIMIT = 0.06
# Lids that come nearer than this to each other in a clip (eye distances below their usual gap) have
# blinked; in a clip without a blink the usual opening of an eye stands for it.
BLINK_DEPTH = 0.035
USUAL_OPENING = 0.07
# The tracker seldom sees a blink at its deepest: this share of the deepest counts as shut.
SHUT_SHARE = 0.9
# An iris says nothing while its lid is this far down.
GAZE_LOST = 0.4
# A clip takes over from the portrait's own pose in this time.
TAKE_OVER_S = 0.5
# A shot takes over from the one before in this time.
EASE_S = 0.6


def motion_of(person: Followed, fps: float) -> Motion:
    """Pose, eyes and brows of one person of a clip: one entry per frame.

    Frames without the face lie on straight lines between those around. Over a cut the motion is
    eased, each shot being measured from its own mean.
    """
    poses: list[geometry.Pose] = []
    uppers: list[FloatArray] = []
    for number in np.flatnonzero(person.found):
        mesh = person.mesh[number]
        poses.append(geometry.head_pose(mesh[None]))
        upper = geometry.to_face(mesh[None, topology.UPPER_FACE], poses[-1])[0]
        uppers.append(upper.astype(np.float32))
    pose = geometry.Pose(*(np.concatenate(part) for part in zip(*poses, strict=True)))
    shots = _Shots(person.shot[person.found], fps)
    translation = np.concatenate(
        [_relative(geometry.Pose(*one)) for one in zip(*map(shots.split, pose), strict=True)]
    )
    upper = np.concatenate([part - part.mean(axis=0) for part in shots.split(np.stack(uppers))])
    return Motion(
        fps=float(fps),
        found=person.found,
        rotation=filled_rotations(shots.turned_alike(pose.rotation), person.found),
        translation=filled(shots.eased(translation), person.found),
        upper=filled(shots.eased(upper), person.found),
    )


class _Shots:
    """Tracks [F,...] of the frames with a face, whose shots are known [F]."""

    def __init__(self, shot: npt.NDArray[np.int32], fps: float) -> None:
        self.starts = np.flatnonzero(np.diff(shot)) + 1
        self.fps = fps

    def split(self, track: FloatArray) -> list[FloatArray]:
        """The shots' parts of a track."""
        return np.split(track, self.starts)

    def eased(self, track: FloatArray) -> FloatArray:
        """A track that goes on after a cut as it ended before, and takes EASE_S to its own way."""
        eased = track.copy()
        for start, part in zip(self.starts, self.split(track)[1:], strict=True):
            left = 1 - smoothstep(np.arange(len(part)) / (EASE_S * self.fps))
            step = (eased[start - 1] - part[0]).astype(track.dtype)
            eased[start : start + len(part)] += left.reshape(-1, *[1] * step.ndim) * step
        return eased

    def turned_alike(self, rotation: FloatArray) -> FloatArray:
        """Rotations [F,3,3], of every shot about the same mean: cameras stand elsewhere."""
        if not len(self.starts):
            return rotation
        mean = nearest_rotations(rotation.mean(axis=0))
        alike = [
            part @ nearest_rotations(part.mean(axis=0)).T @ mean for part in self.split(rotation)
        ]
        return nearest_rotations(self.eased(np.concatenate(alike)))


def _relative(pose: geometry.Pose) -> FloatArray:
    """Where heads are [T,3], eye distances from their mean.

    Depth comes from the size: a mesh tells no distance.
    """
    scale = pose.scale.mean()
    moved: FloatArray = (pose.translation - pose.translation.mean(axis=0)) / scale
    moved[:, 2] = geometry.VIEW_DISTANCE * (scale / pose.scale - 1)
    return moved


class ClipTrack(NamedTuple):
    """T frames at the clip's rate, otherwise as in `HeadState`.

    euler_deg: [T,3] yaw, pitch, roll. translation: [T,3], of the neck. closed: [T,2].
    gaze_deg: [T,2]. brows: [T,20,3].
    """

    euler_deg: FloatArray
    translation: FloatArray
    closed: FloatArray
    gaze_deg: FloatArray
    brows: FloatArray


def clip_track(motion: Motion, neck: FloatArray) -> ClipTrack:
    """A clip's motion relative to its mean, smoothed at its own rate and limited.

    neck: [3], the point about which heads turn, face frame, eye distances.
    """
    rotation: FloatArray = np.asarray(motion.rotation, np.float64)
    mean = nearest_rotations(rotation.mean(axis=0))
    # The clip gives the way of the point between the eyes; the neck's own way is what is left
    # when the turning about it is taken out.
    neck_way = motion.translation + rotation @ neck
    euler = geometry.euler_deg(rotation @ mean.T)
    upper: FloatArray = np.asarray(motion.upper, np.float64)
    closed = _closed(upper)
    gaze = _gaze_deg(upper, closed)
    brows = upper[:, np.searchsorted(topology.UPPER_FACE, BROWS)]
    fps = motion.fps
    euler = one_euro(euler, fps=fps, min_cutoff_hz=1.5, beta=0.1)
    moved = one_euro(neck_way - neck_way.mean(axis=0), fps=fps, min_cutoff_hz=1.0, beta=3.0)
    closed = one_euro(closed, fps=fps, min_cutoff_hz=6.0, beta=3.0)
    gaze = one_euro(gaze, fps=fps, min_cutoff_hz=2.0, beta=0.1)
    brows = one_euro(brows, fps=fps, min_cutoff_hz=1.5, beta=10.0)
    reach = (-GAZE_LIMIT_DEG, GAZE_LIMIT_DEG)
    return ClipTrack(
        _limited(euler, np.full(3, EULER_LIMIT_DEG)),
        _limited(moved, TRANSLATION_LIMITS),
        np.clip(closed, WIDEST, 1),
        np.clip(gaze, *reach),
        BROW_LIMIT * np.tanh(brows / BROW_LIMIT),
    )


def from_clip(
    motion: Motion, *, fps: float, amount: float = 1.0, blink_rate: float = 1.0
) -> Iterator[HeadState]:
    """A clip's head, eyes and brows, forwards and backwards for ever, `fps` states a second.

    Relative to the clip's mean, smoothed, limited (see `clip_track`), and resampled from the
    clip's rate. The first state is the portrait's own; the clip takes over in half a second,
    because it may start far from its mean. amount: of the head's motion, which keeps its limits.
    blink_rate: 0 keeps the eyes open; a clip's blinks are else its own.
    """
    parts = clip_track(motion, NECK)
    for frame in itertools.count():
        position = frame / fps * motion.fps
        taken = smoothstep(frame / fps / TAKE_OVER_S)
        euler, translation, closed, gaze, brows = (
            taken * between(part, position) for part in parts
        )
        euler = np.clip(amount * euler, -EULER_LIMIT_DEG, EULER_LIMIT_DEG)
        translation = np.clip(amount * translation, -TRANSLATION_LIMITS, TRANSLATION_LIMITS)
        if not blink_rate:
            closed = np.minimum(closed, 0)
        yield HeadState(rotation_from_euler_deg(*euler), translation, closed, gaze, brows)


def _limited(tracks: FloatArray, bounds: FloatArray) -> FloatArray:
    columns = [limit(tracks[:, k], -bound, bound) for k, bound in enumerate(bounds)]
    return np.stack(columns, axis=1)


def _closed(upper: FloatArray) -> FloatArray:
    """How far each eye is shut [T,2], 0 at the clip's usual opening, 1 at its deepest blinks."""
    closed = np.zeros((len(upper), 2))
    for eye, pairs in enumerate((topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT)):
        top, bottom = (np.searchsorted(topology.UPPER_FACE, pairs[:, k]) for k in (0, 1))
        gap = (upper[:, bottom, 1] - upper[:, top, 1]).mean(axis=1)
        narrowed = np.median(gap) - gap
        deepest = float(np.quantile(narrowed, 0.995))
        full = SHUT_SHARE * deepest if deepest > BLINK_DEPTH else USUAL_OPENING
        closed[:, eye] = narrowed / full
    return np.clip(closed, WIDEST, 1)


def _gaze_deg(upper: FloatArray, closed: FloatArray) -> FloatArray:
    """Gaze [T,2] relative to the clip's mean, of both eyes together, held through blinks."""
    centres = np.searchsorted(topology.UPPER_FACE, [iris[0] for iris in IRISES])
    shift = upper[:, centres, :2].mean(axis=1)
    gaze = np.rad2deg(np.arcsin(np.clip(shift / EYE_RADIUS, -1, 1)))
    seen = closed.max(axis=1) < GAZE_LOST
    if not seen.any():
        return np.zeros_like(gaze)
    last_seen = np.maximum.accumulate(np.where(seen, np.arange(len(gaze)), np.argmax(seen)))
    held = gaze[last_seen]
    return np.asarray(held - held.mean(axis=0))
