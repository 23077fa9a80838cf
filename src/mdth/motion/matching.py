"""A head that goes on as heads in the bank did, one segment after the other, for ever.

Motion matching (Clavet, "Motion matching and the road to next-gen animation", GDC 2016): after some
seconds of a segment comes one that goes on best from this pose and speed; what parts the two dies
away (Bollo, "Inertialization: high-performance animation transitions", GDC 2018). The voice sets
the pace. To match the voice too was tried: it put nothing in step (r 0.01, the pace alone 0.2).
"""

import numpy as np

from mdth.artefacts import FloatArray
from mdth.motion.bank import HEAD, Bank
from mdth.motion.voice import STEP_HZ

# A segment is played for 2 to 8 s, and to a quarter second before its clip's end at most.
SEGMENT, END = (2 * STEP_HZ, 8 * STEP_HZ), STEP_HZ // 4
# What is weighed; chance keeps one start from one motion.
POSE, SPEED, CHANCE = 0.7, 0.5, 1.0
# The last second of a clip is no place to begin, and what was played is not taken again for 20 s.
SHORTEST, AGAIN, NEAR = STEP_HZ, 20 * STEP_HZ, 2 * STEP_HZ
# What parts two segments dies away like a critically damped spring's way, 1 / steps.
BLEND = 6.0 / STEP_HZ
# Each search looks at so many steps of the bank.
CANDIDATES = 2000


class Matching:
    """Motion [D] of one step after the other, each at some pace, 1 as in the bank.

    Positions and speeds never jump; the same generator of random numbers gives the same motion.
    """

    def __init__(self, bank: Bank, random: np.random.Generator) -> None:
        self._motion, self._left, self._random = bank.motion, bank.left, random
        self._speed = np.diff(bank.motion, axis=0, prepend=bank.motion[:1])
        self._speed[np.diff(bank.left, prepend=0) != -1] = 0
        units = [track[:, HEAD].std(axis=0) for track in (self._motion, self._speed)]
        self._weights = np.repeat([POSE, SPEED], 3) / np.concatenate(units) / np.sqrt(3)
        self._features = self._weighed(self._motion, self._speed)
        self._begins = np.flatnonzero(bank.left >= SHORTEST)
        self._again_at = np.zeros(len(bank.motion), np.intp)
        self._now = self._until = 0
        self._apart, self._apart_speed = np.zeros((2, bank.motion.shape[1]))
        self._begin(self._best(np.zeros(6)))

    def step(self, pace: float) -> FloatArray:
        """Motion [D] of the next step."""
        self._now += 1
        self._at += pace
        spring, fade = self._apart_speed + BLEND * self._apart, np.exp(-BLEND)
        self._apart = (self._apart + spring) * fade
        self._apart_speed = (self._apart_speed - BLEND * spring) * fade
        if self._now >= self._until or self._left[int(self._at)] < END:
            self._go_on(pace)
        return np.asarray(self._between(self._motion) + self._apart)

    def _between(self, track: FloatArray) -> FloatArray:
        """A track's value where the segment is, between two steps."""
        step, part = divmod(self._at, 1)
        low, high = track[int(step) : int(step) + 2]
        return np.asarray(low + part * (high - low))

    def _weighed(self, motion: FloatArray, speed: FloatArray) -> FloatArray:
        both = np.concatenate([motion[..., HEAD], speed[..., HEAD]], axis=-1)
        return np.asarray(both * self._weights, np.float32)

    def _go_on(self, pace: float) -> None:
        """With the segment that fits best."""
        motion = self._between(self._motion) + self._apart
        speed = pace * self._between(self._speed) + self._apart_speed
        best = self._best(self._weighed(motion, speed))
        self._apart = motion - self._motion[best]
        self._apart_speed = speed - pace * self._speed[best]
        self._begin(best)

    def _begin(self, step: int) -> None:
        self._at, self._until = float(step), self._now + int(self._random.integers(*SEGMENT))
        self._again_at[max(0, step - NEAR) : step + NEAR] = self._now + AGAIN

    def _best(self, wanted: FloatArray) -> int:
        """The step that fits best among some."""
        some = self._begins[self._random.integers(len(self._begins), size=CANDIDATES)]
        cost = np.square(self._features[some] - wanted).sum(axis=1)
        cost += CHANCE * self._random.random(CANDIDATES)
        cost[self._again_at[some] > self._now] += 1e3
        return int(some[cost.argmin()])
