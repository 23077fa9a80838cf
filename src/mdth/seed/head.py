"""A clip's head for the source: about its own pose, limited, smooth, forwards and backwards."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face.crop import SIZE_PX
from mdth.face.track import between, bounce, limit
from mdth.seed.artefacts import FPS, Faces, SeedClip
from mdth.seed.eyes import UPPER_LIDS, EyePca, eye_offsets
from mdth.seed.moves import Move, angles, rotation_from, smoothed

ANGLE_LIMIT = math.pi / 6
# About the source's own angle; the nod is limited as it is.
ABOUT_OWN = np.array([0.0, 1.0, 1.0])
LOW_PX, HIGH_PX = np.full(2, 32.0), np.full(2, 224.0)
# The head-pose network's unit, and where the middle of the screen lies.
HALF_PX = SIZE_PX / 2


def from_clip(
    clip: SeedClip,
    source: Faces,
    pca: EyePca,
    *,
    fps: float,
    frames: int,
    amount: float = 1.0,
    blink_rate: float = 1.0,
) -> Iterator[Move]:
    """One move for each of the video's frames, `fps` a second, resampled from the clip's 30.

    source: one frame. amount: of the head's motion. blink_rate: 0 keeps the lids still; a clip's
    blinks are else its own.
    """
    count = math.ceil((frames - 1) * FPS / fps) + 1
    order = np.array([bounce(index, len(clip.faces)) for index in range(count)])
    turns, places = head_tracks(clip.faces, source, order, amount)
    upper = eye_offsets(clip.faces, source, pca)
    if not blink_rate:
        upper[:, UPPER_LIDS] = 0
    own_back = np.asarray(source.modelview[0, :3, :3], np.float64).T
    for frame in range(frames):
        position = frame / fps * FPS
        turn, place, offsets = (between(track, position) for track in (turns, places, upper))
        yield Move(rotation_from(turn) @ own_back, place - HALF_PX, offsets)


def head_tracks(
    clip: Faces, source: Faces, order: npt.NDArray[np.intp], amount: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Angles [n,3] rad (about x, then y, then z) and places [n,2] px of the middle of the screen.

    order: [n], the clip's frame for each. Angles are the network's, about the source's fitted ones;
    places are about the middle, where a head that turns about the network's own centre goes.
    """
    own = angles(np.asarray(source.modelview[:, :3, :3], np.float64))[0]
    turned = np.unwrap(angles(np.asarray(clip.rotation, np.float64)[order]), axis=0)
    turned = own + amount * (turned - turned.mean(axis=0))
    centre = ABOUT_OWN * own
    turned = smoothed(_within(turned, centre - ANGLE_LIMIT, centre + ANGLE_LIMIT))
    origin = (source.screen @ source.modelview)[0, :3, 3] / HALF_PX
    arm = source.rotation[0].T @ (origin - source.translation[0] - np.array([1, 1, 0]))
    shift = amount * clip.translation[order] - np.stack(list(map(rotation_from, turned))) @ arm
    places = HALF_PX * (1 + (shift - shift.mean(axis=0))[:, :2])
    return turned, smoothed(_within(places, LOW_PX, HIGH_PX))


def _within(tracks: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Tracks [T,n], each within its limits [n]."""
    limits = zip(tracks.T, low.tolist(), high.tolist(), strict=True)
    return np.stack([limit(*each) for each in limits], axis=1)
