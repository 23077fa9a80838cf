"""What eyes do by themselves: blinks and glances.

Each part is asked for its value at times that only grow. Events lie in continuous time and come
from their own random generator, so the frame rate does not change them.
"""

import math

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face.smoothing import smoothstep

Random = np.random.Generator


class Blinks:
    """Irregular blinks, 23 a minute: quick to close, slower to open, most 0.2 to 0.7 s long.

    Some only half close, some come in pairs. rate: how many more or fewer of them; pauses change,
    a blink keeps its length. 0: none.
    """

    PAUSE_S = (0.5, 1.9)
    DOUBLE, DOUBLE_PAUSE_S = 0.1, (0.1, 0.35)
    PARTIAL, DEPTH = 0.15, (0.5, 0.85)
    # Lengths lie around the first as the logarithm's deviation says.
    LENGTH_S, LENGTH_SPREAD, LENGTHS_S = 0.3, 0.8, (0.18, 1.6)
    CLOSE, CLOSE_S, HOLD = 0.35, (0.07, 0.16), 0.2
    # What lasts longer is no blink: lids that are lowered for a while.
    LONG_S, LOWERED = 0.6, (0.25, 0.6)

    def __init__(self, random: Random, *, rate: float = 1.0) -> None:
        self._random = random
        self._slower = 1 / rate if rate else math.inf
        self._end = 0.0
        self._plan()

    def _plan(self) -> None:
        random = self._random
        if self._end and random.random() < self.DOUBLE:
            pause = random.uniform(*self.DOUBLE_PAUSE_S)
        else:
            pause = (self.PAUSE_S[0] + random.gamma(1.5, self.PAUSE_S[1] / 1.5)) * self._slower
        drawn = self.LENGTH_S * math.exp(random.normal(0, self.LENGTH_SPREAD))
        length = float(np.clip(drawn, *self.LENGTHS_S))
        depth = self.LOWERED if length > self.LONG_S else self.DEPTH
        whole = length <= self.LONG_S and random.random() >= self.PARTIAL
        self._depth = 1.0 if whole else random.uniform(*depth)
        self._start = self._end + pause
        self._shut = self._start + float(np.clip(self.CLOSE * length, *self.CLOSE_S))
        self._reopen = self._shut + self.HOLD * length
        self._end = self._start + length

    def at(self, time_s: float) -> float:
        """How far the eyes are closed, 0 to 1."""
        while time_s >= self._end:
            self._plan()
        if time_s <= self._start:
            return 0.0
        closing = smoothstep((time_s - self._start) / (self._shut - self._start))
        opening = smoothstep((time_s - self._reopen) / (self._end - self._reopen))
        return float(self._depth * (closing - opening))


class Glances:
    """Saccades from one place to look at to another, as eyes in talk did.

    looks: [L,3], degrees to the viewer's right and down, and seconds. The first is straight on.
    """

    SACCADE_S, MORE_S = 0.03, 0.003
    MOST_DEG = np.array([7.0, 6.0])
    FIRST_S = 0.6

    def __init__(self, looks: FloatArray, random: Random) -> None:
        self._looks, self._random = looks, random
        self._from = self._to = np.zeros(2)
        self._start = 0.0
        self._next = self.FIRST_S

    def at(self, time_s: float) -> FloatArray:
        """Gaze [2] in degrees, to the viewer's right and down."""
        while time_s >= self._next:
            self._from, self._start = self._to, self._next
            *place, hold_s = self._looks[self._random.integers(len(self._looks))]
            self._to = np.clip(place, -self.MOST_DEG, self.MOST_DEG)
            self._next += hold_s
        # The main sequence of saccades: about 3 ms more for each degree.
        way = float(np.linalg.norm(self._to - self._from))
        moved = smoothstep((time_s - self._start) / (self.SACCADE_S + self.MORE_S * way))
        return np.asarray(self._from + (self._to - self._from) * moved)
