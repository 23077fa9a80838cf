"""A head that goes on as heads in the bank did when a voice was heard like this one.

Motion matching (Clavet, "Motion matching and the road to next-gen animation", GDC 2016): a segment
is played until another one fits pose, speed and voice better; what parts the two dies away
(Bollo, "Inertialization: high-performance animation transitions", GDC 2018).
"""

from collections import deque

import numpy as np

from mdth.artefacts import FloatArray
from mdth.motion.bank import HEAD, NECK, WINDOWS, Bank, heard
from mdth.motion.voice import STEP_HZ

# Looked for so often; a segment is left only for one that fits better by this much.
SEARCH_STEPS, LOYALTY = 5, 0.5
# What is weighed; chance keeps one voice from one motion.
VOICE, POSE, SPEED, CHANCE = 1.0, 0.7, 0.5, 1.0
# The last second of a clip is no place to begin, and what was played is not taken again for 12 s.
SHORTEST, AGAIN, NEAR = STEP_HZ, 12 * STEP_HZ, STEP_HZ
# A segment runs at this pace in silence and this much faster where the voice is strongest.
PACE, PACE_OF_VOICE, PACE_MEMORY = 0.4, 1.2, 3.0
# What parts two segments dies away like a critically damped spring's way, rad/s.
BLEND = 6.0 / STEP_HZ
# Each search looks at so many steps of the bank.
CANDIDATES = 2000


class Matching:
    """Motion [D] of one step after the other, for the strength of the voice of each step.

    Positions and speeds never jump; the same generator of random numbers gives the same motion.
    """

    def __init__(self, bank: Bank, random: np.random.Generator) -> None:
        self._motion, self._random = bank.motion, random
        self._speed = np.diff(bank.motion, axis=0, prepend=bank.motion[:1])
        self._speed[np.diff(bank.left, prepend=0) != -1] = 0
        units = np.concatenate(
            [bank.voice.std(axis=0), bank.motion[:, :6].std(axis=0), self._speed[:, HEAD].std(axis=0)]
        )
        weights = np.repeat([VOICE, POSE, POSE / 2, SPEED], [len(WINDOWS), 3, 3, 3])
        self._weights = weights / units / np.sqrt(3)
        self._features = self._weighed(bank.voice, self._motion, self._speed)
        self._left = bank.left
        self._begins = np.flatnonzero(bank.left >= SHORTEST)
        self._again_at = np.zeros(len(bank.motion), np.intp)
        self._heard = deque([0.0] * WINDOWS[-1][1], maxlen=WINDOWS[-1][1])
        self._apart, self._apart_speed = np.zeros((2, bank.motion.shape[1]))
        self._now = 0
        self._pace = PACE
        rest = np.zeros((2, bank.motion.shape[1]))
        self._at = float(self._best(self._weighed(heard(self._heard), *rest))[0])

    def step(self, strength: float) -> FloatArray:
        """Motion [D] of the next step."""
        self._heard.append(strength)
        self._now += 1
        goal = PACE + PACE_OF_VOICE * strength
        self._pace += (goal - self._pace) / PACE_MEMORY
        self._at += self._pace
        spring = self._apart_speed + BLEND * self._apart
        fade = np.exp(-BLEND)
        self._apart = (self._apart + spring) * fade
        self._apart_speed = (self._apart_speed - BLEND * spring) * fade
        if self._now % SEARCH_STEPS == 0 or self._left[int(self._at)] < 3:
            self._search()
        return np.asarray(self._between(self._motion) + self._apart)

    def _between(self, track: FloatArray) -> FloatArray:
        """A track's value where the segment is, between two steps."""
        step, part = divmod(self._at, 1)
        low, high = track[int(step) : int(step) + 2]
        return np.asarray(low + part * (high - low))

    def _weighed(self, voice: FloatArray, motion: FloatArray, speed: FloatArray) -> FloatArray:
        parts = [voice, motion[..., HEAD], motion[..., NECK], speed[..., HEAD]]
        return np.asarray(np.concatenate(parts, axis=-1) * self._weights, np.float32)

    def _search(self) -> None:
        """Go on elsewhere if that fits better."""
        motion = self._between(self._motion) + self._apart
        speed = self._pace * self._between(self._speed) + self._apart_speed
        wanted = self._weighed(heard(self._heard), motion, speed)
        best, cost = self._best(wanted)
        at = int(self._at)
        here = float(np.square(self._features[at] - wanted).sum())
        if self._left[at] > 2 * SEARCH_STEPS and here <= cost + LOYALTY:
            return
        self._again_at[max(0, at - NEAR) : at + NEAR] = self._now + AGAIN
        self._apart = motion - self._motion[best]
        self._apart_speed = speed - self._pace * self._speed[best]
        self._at = float(best)

    def _best(self, wanted: FloatArray) -> tuple[int, float]:
        """The step that fits best among some, and how badly it does."""
        some = self._begins[self._random.integers(len(self._begins), size=CANDIDATES)]
        cost = np.square(self._features[some] - wanted).sum(axis=1)
        cost += CHANCE * self._random.random(CANDIDATES)
        cost[self._again_at[some] > self._now] += 1e3
        least = int(cost.argmin())
        return int(some[least]), float(cost[least])
