"""What a silent avatar's head, gaze and brows do while somebody else speaks: rules, no model.

- It nods where the other one pauses after enough speech: a listener answers a cue 0.7 s later, that
  comes after at least 0.7 s of speech and 0.8 s after the answer before (Ward & Tsukahara,
  "Prosodic features which cue back-channel responses in English and Japanese", 2000; their cue is a
  low pitch, ours a voice that falls silent, which is later, so that we answer sooner).
- It looks at the speaker 75 % of the time, not 41 % as one who talks (Argyle & Cook, "Gaze and
  mutual gaze", 1976).

How deep and how long nods are, and the brows that go with them, are our choice.
"""

from collections import deque
from itertools import count

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face.geometry import rotation_from_euler_deg
from mdth.motion.head import STEADY_EYES, Activity, HeadState
from mdth.motion.voice import STEP_HZ, Voice
from mdth.options import MotionOptions

SPOKE_S, PAUSE_S, AGAIN_S = 0.7, 0.2, (1.5, 5.0)
# Of the glances of one who talks, what is left: away 25 instead of 59 % of the time.
AWAY = 0.25 / 0.59
# A nod's length, one bow of it, and how much shallower a second bow is; degrees; eye distances.
BOW_S, SECOND, TWICE = 0.45, 0.55, 0.5
DEPTH_DEG, BROWS_UP = (2.5, 5.0), 0.012


class Listener:
    """Hears somebody, and changes the states of a head that is silent meanwhile."""

    def __init__(self, options: MotionOptions) -> None:
        self._voice, self._strengths = Voice(), deque[float](maxlen=STEP_HZ)
        self._random = np.random.default_rng([options.random_seed, 3])
        self._amount = 0.0 if options.still else options.motion
        self._times = (frame / options.fps for frame in count())
        self._activity, self._steps = Activity(), 0
        # Seconds of speech since the last nod, and of silence since; the nod: when, how deep, bows.
        self._spoke_s = self._quiet_s = 0.0
        self._nod, self._again_s = (-10.0, 0.0, 1), 0.0

    def hear(self, block: FloatArray) -> None:
        """The other one's next samples, mono, 16 kHz."""
        self._strengths.extend(self._voice.feed(block))

    def answer(self, head: HeadState) -> HeadState:
        """The state of the next frame. Without a voice to hear, it stays as it is."""
        time_s = next(self._times)
        while self._steps <= time_s * STEP_HZ:
            self._steps += 1
            self._hear_step(time_s, self._strengths.popleft() if self._strengths else 0.0)
        # One who speaks or has just spoken does not listen.
        share = self._amount * head.smile
        pitch = share * self._bow(time_s - self._nod[0])
        listens = share * self._activity.value
        if not pitch and listens < 1e-3:
            return head
        brows = head.brows.copy()
        brows[:, 1] -= BROWS_UP * pitch / DEPTH_DEG[1]
        gaze = head.gaze_deg * (1 - (1 - AWAY) * min(1.0, listens))
        gaze[1] -= STEADY_EYES * pitch
        nod = rotation_from_euler_deg(0, pitch, 0)
        return head._replace(rotation=nod @ head.rotation, brows=brows, gaze_deg=gaze)

    def _hear_step(self, time_s: float, strength: float) -> None:
        self._activity.step(strength)
        if strength > Activity.SPEAKING:
            self._spoke_s += 1 / STEP_HZ
            self._quiet_s = 0.0
            return
        self._quiet_s += 1 / STEP_HZ
        if self._quiet_s < PAUSE_S or self._spoke_s < SPOKE_S:
            return
        self._spoke_s = 0.0
        if time_s >= self._again_s:
            bows = 1 + int(self._random.random() < TWICE)
            self._nod = time_s, float(self._random.uniform(*DEPTH_DEG)), bows
            self._again_s = time_s + float(self._random.uniform(*AGAIN_S))

    def _bow(self, since_s: float) -> float:
        """Degrees down."""
        bow, place = divmod(since_s, BOW_S)
        if not 0 <= bow < self._nod[2]:
            return 0.0
        return float(self._nod[1] * SECOND**bow * np.sin(np.pi * place / BOW_S) ** 2)
