"""Head, eyes and brows for each video frame: still, generated, or from a clip."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.artefacts import Motion
from mdth.face.geometry import NECK, rotation_from_euler_deg
from mdth.face.smoothing import smoothstep
from mdth.retarget.clip import EULER_LIMIT_DEG, TRANSLATION_LIMITS, bounce, clip_track
from mdth.retarget.eyes import BROWS
from mdth.retarget.idle import Accents, Blinks, Drift, Glances

FloatArray = npt.NDArray[np.floating]

# Generated motion: standard deviations of yaw, pitch, roll (degrees) and x, y, z (eye distances).
DRIFT = np.array([1.5, 1.0, 0.8, 0.008, 0.006, 0.01])
LIMITS = np.array([5.0, 5.0, 5.0, 0.03, 0.03, 0.04])
# A silent head moves this share as much as a speaking one.
QUIET_SHARE = 0.4
START_S = 1.0
BROW_RAISE = 0.025
# A clip takes over from the portrait's own pose in this time.
TAKE_OVER_S = 0.5


class HeadState(NamedTuple):
    """What head, eyes and brows do in one frame, relative to the portrait.

    rotation: [3,3], on top of the portrait's own pose, picture frame, about the neck.
    translation: [3], eye distances, picture axes (z away from the viewer).
    closed: [2], how far the viewer's left and right eye are shut, 0 as in the portrait, 1 shut.
    gaze_deg: [2], eyes turned to the viewer's right and down, in the head.
    brows: [20,3], offsets of `eyes.BROWS`, face frame, eye distances.
    """

    rotation: FloatArray
    translation: FloatArray
    closed: FloatArray
    gaze_deg: FloatArray
    brows: FloatArray


REST = HeadState(np.eye(3), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros((len(BROWS), 3)))


def still() -> Iterator[HeadState]:
    """The portrait's own pose, for ever."""
    while True:
        yield REST


def generated(
    energy: Iterable[float], *, fps: float, seed: int, amount: float = 1.0, blink_rate: float = 1.0
) -> Iterator[HeadState]:
    """Natural small motion for a speech, one state for each value of `energy`.

    energy: level in dB of each frame's sound (see `retarget.energy.loudness`); a frame's state
    uses only values up to its own. The first state is the portrait's own pose; in silence the head
    calms down. Blinks, glances and drift depend on the seed and time alone, not on fps or sound.
    amount: of the head's motion. blink_rate: relative to the usual one. 0 turns either off.
    """
    randoms = [np.random.default_rng([seed, part]) for part in range(4)]
    drift, blinks = Drift(DRIFT, randoms[0]), Blinks(randoms[1], rate=blink_rate)
    glances, accents = Glances(randoms[2]), Accents(randoms[3], fps=fps)
    for frame, level in enumerate(energy):
        time_s = frame / fps
        accents.hear(level, time_s)
        nod, brow = accents.at(time_s)
        lively = QUIET_SHARE + (1 - QUIET_SHARE) * accents.activity
        moved = drift.at(time_s) * lively * smoothstep(time_s / START_S)
        moved[1] += nod
        yaw, pitch, roll, *translation = amount * LIMITS * np.tanh(moved / LIMITS)
        # Eyes stay on what they look at while the head turns.
        gaze = glances.at(time_s) - np.array([yaw, pitch])
        brows = np.zeros((len(BROWS), 3))
        brows[:, 1] = -BROW_RAISE * brow
        yield HeadState(
            rotation_from_euler_deg(yaw, pitch, roll),
            np.array(translation),
            np.full(2, blinks.at(time_s)),
            gaze,
            brows,
        )


def from_clip(
    motion: Motion, *, fps: float, amount: float = 1.0, blink_rate: float = 1.0
) -> Iterator[HeadState]:
    """A clip's head, eyes and brows, forwards and backwards for ever, `fps` states a second.

    Relative to the clip's mean, smoothed, limited (see `retarget.clip`), and resampled from the
    clip's rate. The first state is the portrait's own; the clip takes over in half a second,
    because it may start far from its mean. amount: of the head's motion, which keeps its limits.
    blink_rate: 0 keeps the eyes open; a clip's blinks are else its own.
    """
    track = clip_track(motion, NECK)
    length = len(track.closed)
    frame = 0
    while True:
        position = frame / fps * motion.fps
        index = int(position)
        now, then = bounce(index, length), bounce(index + 1, length)
        taken = smoothstep(frame / fps / TAKE_OVER_S)
        euler, translation, closed, gaze, brows = (
            taken * (part[now] + (position - index) * (part[then] - part[now])) for part in track
        )
        euler = np.clip(amount * euler, -EULER_LIMIT_DEG, EULER_LIMIT_DEG)
        translation = np.clip(amount * translation, -TRANSLATION_LIMITS, TRANSLATION_LIMITS)
        if not blink_rate:
            closed = np.minimum(closed, 0)
        yield HeadState(rotation_from_euler_deg(*euler), translation, closed, gaze, brows)
        frame += 1
