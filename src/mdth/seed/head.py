"""A clip's head for the source: centred on it, limited, smooth, forwards and backwards for ever."""

import itertools
from collections.abc import Iterator

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import landmarks68
from mdth.face.smoothing import one_euro
from mdth.face.track import between, limit
from mdth.seed.artefacts import FPS, Faces, SeedClip
from mdth.seed.eyes import eye_offsets
from mdth.seed.moves import Move, angles_deg, rotation_from

ANGLE_LIMIT_DEG = 30.0
LOW_PX, HIGH_PX = 32.0, 224.0
# Of every track, in degrees, px and mm.
MIN_CUTOFF_HZ, BETA = 1.0, 1.0


def from_clip(
    clip: SeedClip,
    source: Faces,
    basis: FloatArray,
    *,
    fps: float,
    amount: float = 1.0,
    blink_rate: float = 1.0,
) -> Iterator[Move]:
    """One move for each frame of the video, `fps` a second, resampled from the clip's 30.

    source: one frame. basis: [72,K], see `eyes`. amount: of the head's motion. blink_rate: 0 keeps
    the lids still; a clip's blinks are else its own.
    """
    angles, places = head_tracks(clip.faces, source, amount)
    upper = _smooth(eye_offsets(clip.faces, source, basis))
    if not blink_rate:
        upper[:, landmarks68.EYES] = 0
    # The turn on top of the source's own, in the frame the network has both in.
    own_back = np.asarray(source.rotation[0], np.float64).T
    origin = np.asarray(source.origin_px[0], np.float64)
    for frame in itertools.count():
        position = frame / fps * FPS
        angle, place, offsets = (between(track, position) for track in (angles, places, upper))
        yield Move(rotation_from(angle) @ own_back, place - origin, offsets)


def head_tracks(clip: Faces, source: Faces, amount: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Angles [T,3] degrees (about x, y, z) and places [T,2] px of the model's origin.

    Both move about the source's own and stay within 30 degrees either way and 32..224 px; a source
    that is further out by itself stays where it is. The clip's way is scaled to the source's size.
    """
    own = angles_deg(np.asarray(source.rotation, np.float64))[0]
    turned = np.unwrap(angles_deg(np.asarray(clip.rotation, np.float64)), axis=0, period=360)
    angles = own + amount * (turned - turned.mean(axis=0))
    size = source.scale[0] / clip.scale[:, None]
    moved = (clip.origin_px - clip.origin_px.mean(axis=0)) * size
    places = source.origin_px[0] + amount * moved
    return (
        _within(_smooth(angles), own, low=-ANGLE_LIMIT_DEG, high=ANGLE_LIMIT_DEG),
        _within(_smooth(places), source.origin_px[0], low=LOW_PX, high=HIGH_PX),
    )


def _smooth(track: FloatArray) -> FloatArray:
    return one_euro(track, fps=FPS, min_cutoff_hz=MIN_CUTOFF_HZ, beta=BETA)


def _within(tracks: FloatArray, own: FloatArray, *, low: float, high: float) -> FloatArray:
    """Tracks [T,n] within the limits, or as far out as the source itself [n] is."""
    columns = [
        limit(tracks[:, k], min(low, float(value)), max(high, float(value)))
        for k, value in enumerate(own)
    ]
    return np.stack(columns, axis=1)
