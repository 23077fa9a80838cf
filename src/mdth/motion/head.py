"""Head, eyes and brows for each video frame: still or generated."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face.geometry import rotation_from_euler_deg
from mdth.face.smoothing import smoothstep
from mdth.face.topology import BROWS
from mdth.motion.energy import FLOOR_DB, Loudness
from mdth.motion.idle import Accents, Blinks, Drift, Glances
from mdth.options import MotionOptions

# Generated motion: standard deviations of yaw, pitch, roll (degrees) and x, y, z (eye distances).
DRIFT = np.array([1.5, 1.0, 0.8, 0.008, 0.006, 0.01])
LIMITS = np.array([5.0, 5.0, 5.0, 0.03, 0.03, 0.04])
# A silent head moves this share as much as a speaking one.
QUIET_SHARE = 0.4
START_S = 1.0
BROW_RAISE = 0.025
# The eyeball's radius, about 12 mm where the outer corners are 92 mm apart.
EYE_RADIUS = 0.13
GAZE_LIMIT_DEG = 12.0


class HeadState(NamedTuple):
    """What head, eyes and brows do in one frame, relative to the portrait.

    rotation: [3,3], on top of the portrait's own pose, picture frame, about the neck.
    translation: [3], eye distances, picture axes (z away from the viewer).
    closed: [2], how far the viewer's left and right eye are shut, 0 as in the portrait, 1 shut.
    gaze_deg: [2], eyes turned to the viewer's right and down, in the head.
    brows: [20,3], offsets of `topology.BROWS`, face frame, eye distances.
    """

    rotation: FloatArray
    translation: FloatArray
    closed: FloatArray
    gaze_deg: FloatArray
    brows: FloatArray


REST = HeadState(np.eye(3), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros((len(BROWS), 3)))


def still() -> Iterator[HeadState]:
    """The portrait's own pose, for ever."""
    return itertools.repeat(REST)


def generated(
    energy: Iterable[float],
    *,
    fps: float,
    random_seed: int,
    amount: float = 1.0,
    blink_rate: float = 1.0,
) -> Iterator[HeadState]:
    """Natural small motion for a speech, one state for each value of `energy`.

    energy: level in dB of each frame's sound (see `motion.energy.Loudness`); a frame's state
    uses only values up to its own. The first state is the portrait's own pose; in silence the head
    calms down. Blinks, glances and drift depend on `random_seed` and time, not on fps or sound.
    amount: of the head's motion. blink_rate: relative to the usual one. 0 turns either off.
    """
    randoms = [np.random.default_rng([random_seed, part]) for part in range(4)]
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


class SpokenHead:
    """`generated` for a speech that comes in blocks: one state after the other, for ever."""

    def __init__(self, options: MotionOptions) -> None:
        self._loudness, self._levels = Loudness(fps=options.fps), deque[float]()
        self._states = generated(
            self._each_level(),
            fps=options.fps,
            random_seed=options.random_seed,
            amount=options.motion,
            blink_rate=options.blink,
        )

    def hear(self, block: FloatArray) -> None:
        """The next samples, mono, 16 kHz."""
        self._levels.extend(self._loudness.feed(block))

    def end(self) -> None:
        """The sound has ended."""
        self._levels.extend(self._loudness.finish())

    def __iter__(self) -> Iterator[HeadState]:
        """The states of the frames, in order; take none whose sound was not heard."""
        return self._states

    def _each_level(self) -> Iterator[float]:
        while True:
            yield self._levels.popleft() if self._levels else FLOOR_DB
