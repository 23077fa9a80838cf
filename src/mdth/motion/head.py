"""Head, eyes, brows and cheeks for each video frame: still or generated."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.face.geometry import rotation_from_euler_deg
from mdth.face.smoothing import smoothstep
from mdth.face.topology import BROWS
from mdth.motion.bank import CHEEKS, FACE, HEAD, NECK, bank
from mdth.motion.idle import Blinks, Glances
from mdth.motion.matching import Matching
from mdth.motion.voice import STEP_HZ, Voice
from mdth.options import MANNERS as NAMES
from mdth.options import MotionOptions

# Yaw, pitch, roll (degrees) and x, y, z of the neck (eye distances) bend towards these.
LIMITS = np.array([12.0, 12.0, 12.0, 0.08, 0.08, 0.1])
# What brings the amounts of the bank to those of real people in talk (`training.motion_measure`).
HEAD_GAIN = np.array([2.3, 1.5, 2.2, 1.0, 1.0, 0.6])
BROW_GAIN, CHEEK_GAIN = 3.1, 2.4
FACE_GAIN = np.repeat([BROW_GAIN, CHEEK_GAIN], [len(BROWS), len(CHEEKS)])
FACE_LIMIT = 0.07
# A silent head moves this share as much as a speaking one.
QUIET_SHARE = 0.5
START_S = 1.5
# A voice that speaks this much of the time leaves nothing of a smile.
SPOKEN = 0.5
# A state hears so many steps ahead, because heads move before the word.
LEAD_STEPS = 6
# The pace in silence and how much the strongest voice adds, which follows the voice in 0.1 s.
PACE, PACE_OF_VOICE, PACE_STEPS = 0.67, 0.65, 3.0
# The eyeball's radius, about 12 mm where the outer corners are 92 mm apart.
EYE_RADIUS = 0.13
# Of a turn of the head, what the eyes make up for.
STEADY_EYES = 0.8
GAZE_LIMIT_DEG = 12.0


class HeadState(NamedTuple):
    """What head, eyes, brows and cheeks do in one frame, relative to the portrait.

    rotation: [3,3], on top of the portrait's own pose, picture frame, about the neck.
    translation: [3], eye distances, picture axes (z away from the viewer).
    closed: [2], how far the viewer's left and right eye are shut, 0 as in the portrait, 1 shut.
    gaze_deg: [2], eyes turned to the viewer's right and down, in the head.
    brows: [20,3], offsets of `topology.BROWS`, face frame, eye distances.
    cheeks: [C,3], the same of `bank.CHEEKS`.
    smile: how much of the portrait's smile is back that relaxes while it speaks, 1 all of it.
    """

    rotation: FloatArray
    translation: FloatArray
    closed: FloatArray
    gaze_deg: FloatArray
    brows: FloatArray
    cheeks: FloatArray = np.zeros((len(CHEEKS), 3))
    smile: float = 0.0


REST = HeadState(np.eye(3), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros((len(BROWS), 3)))


def still() -> Iterator[HeadState]:
    """The portrait's own pose, for ever."""
    return itertools.repeat(REST)


class Activity:
    """How much a voice speaks, 0 to 1: quick to rise, slow to fall; one value for each step."""

    RISE_S, FALL_S, SPEAKING = 0.25, 1.0, 0.3

    def __init__(self) -> None:
        self.value = 0.0

    def step(self, strength: float) -> float:
        """Its value after the next step."""
        goal = float(strength > self.SPEAKING)
        memory_s = self.RISE_S if goal > self.value else self.FALL_S
        self.value += (goal - self.value) / (1 + STEP_HZ * memory_s)
        return self.value


class Knots:
    """A cubic B-spline through time over values [D] that come one a step: smooth at any rate."""

    def __init__(self, steps: Iterator[FloatArray]) -> None:
        self._steps = steps
        self._first = 0
        self._held = deque([next(steps) for _ in range(4)], maxlen=4)

    def at(self, time_s: float) -> FloatArray:
        """The value at a time, which only grows."""
        knot = int(time_s * STEP_HZ + 1e-9)
        while self._first < knot:
            self._held.append(next(self._steps))
            self._first += 1
        u = time_s * STEP_HZ - knot
        weights = np.array(
            [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, 3 * u * (1 + u - u * u) + 1, u**3]
        )
        return np.asarray(weights / 6 @ np.array(self._held))


def calmed(activity: float) -> float:
    """The share of amount and pace that a voice leaves that speaks so much."""
    return QUIET_SHARE + (1 - QUIET_SHARE) * activity


class Manner(NamedTuple):
    """How much of the usual head motion, of brows and cheeks, and of blinks a speaker has."""

    head: float
    face: float
    blinks: float


_AMOUNTS = Manner(0.5, 0.6, 0.85), Manner(1, 1, 1), Manner(1.4, 1.4, 1.15)
MANNERS = dict(zip(NAMES, _AMOUNTS, strict=True))


def _steps(voice: Iterable[float], matching: Matching) -> Iterator[FloatArray]:
    """[D+1] of each step: the bank's channels and how much the voice speaks."""
    activity, pace = Activity(), PACE
    for strength in itertools.chain(voice, itertools.repeat(0.0)):
        speaks = activity.step(strength)
        pace += (PACE + PACE_OF_VOICE * strength - pace) / PACE_STEPS
        yield np.append(matching.step(pace * calmed(speaks)), speaks)


def generated(voice: Iterable[float], options: MotionOptions) -> Iterator[HeadState]:
    """Natural motion for a speech, `options.fps` states a second, for ever.

    voice: its strength in each step of 40 ms (see `motion.voice`), silence when it ends; a state
    hears `LEAD_STEPS` whole steps ahead. The first state is the portrait's own pose; in silence the
    head calms down. In continuous time it is the same for every fps. Raises CheckpointError.
    """
    own, known = MANNERS[options.manner], bank()
    randoms = [np.random.default_rng([options.random_seed, part]) for part in range(3)]
    steps = _steps(voice, Matching(known, randoms[0]))
    knots = Knots(itertools.islice(steps, LEAD_STEPS - 3, None))
    blinks, glances = (
        Blinks(randoms[1], rate=options.blink * own.blinks),
        Glances(known.looks, randoms[2]),
    )
    for frame in itertools.count():
        time_s = frame / options.fps
        values = knots.at(time_s)
        activity = float(values[-1])
        motion = values[:-1] * options.motion * calmed(activity) * smoothstep(time_s / START_S)
        moved = np.concatenate([motion[HEAD], motion[NECK]]) * HEAD_GAIN * own.head
        yaw, pitch, roll, *translation = LIMITS * np.tanh(moved / LIMITS)
        face = own.face * np.tensordot(motion[FACE], known.basis, axes=1)
        face *= FACE_GAIN[:, None]
        face = FACE_LIMIT * np.tanh(face / FACE_LIMIT)
        yield HeadState(
            rotation_from_euler_deg(yaw, pitch, roll),
            np.array(translation),
            np.full(2, blinks.at(time_s)),
            # Eyes stay on what they look at while the head turns.
            glances.at(time_s) - STEADY_EYES * np.array([yaw, pitch]),
            face[: len(BROWS)],
            face[len(BROWS) :],
            float(1 - smoothstep(activity / SPOKEN) * smoothstep(time_s / START_S)),
        )


class SpokenHead:
    """`generated` for a speech that comes in blocks: one state after the other, for ever."""

    def __init__(self, options: MotionOptions) -> None:
        self._voice, self._strengths = Voice(), deque[float]()
        self._late = 0
        self._states = generated(self._each_strength(), options)

    def hear(self, block: FloatArray) -> None:
        """The next samples, mono, 16 kHz."""
        self._strengths.extend(self._voice.feed(block))

    def rewind(self, count: int) -> None:
        """Others come for the last samples: for those that a state knew already, it is late.

        Where the voice is silent it makes up for that.
        """
        for _ in range(count * STEP_HZ // SPEECH_RATE_HZ):
            if self._strengths:
                self._strengths.pop()
            else:
                self._late += 1

    def __iter__(self) -> Iterator[HeadState]:
        """The states of the frames, in order; take none whose sound was not heard."""
        return self._states

    def _each_strength(self) -> Iterator[float]:
        while True:
            while self._late and self._strengths and not self._strengths[0]:
                self._strengths.popleft()
                self._late -= 1
            yield self._strengths.popleft() if self._strengths else 0.0
