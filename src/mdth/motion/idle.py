"""What a face does by itself while it speaks: drift, blinks, glances, accents.

Each part is asked for its value at times that only grow. Events lie in continuous time and come
from their own random generator, so the frame rate does not change them.
"""

import math
from collections import deque

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face.smoothing import smoothstep

Random = np.random.Generator


class Drift:
    """Slow smooth noise in several channels with the given standard deviations.

    A cubic B-spline over the knots of an Ornstein-Uhlenbeck process, so velocity and acceleration
    are continuous.
    """

    KNOT_S = 0.5
    MEMORY_S = 1.5

    def __init__(self, deviations: FloatArray, random: Random) -> None:
        self._random = random
        self._keep = float(np.exp(-self.KNOT_S / self.MEMORY_S))
        # The spline's variance at a knot, (x[-1] + 4 x[0] + x[1]) / 6, for knots of variance 1.
        shrink = (18 + 16 * self._keep + 2 * self._keep**2) / 36
        self._deviations = deviations / np.sqrt(shrink)
        self._first = 0
        self._knots = deque([random.standard_normal(len(deviations))], maxlen=4)
        for _ in range(3):
            self._grow()

    def _grow(self) -> None:
        fresh = self._random.standard_normal(len(self._deviations))
        self._knots.append(self._keep * self._knots[-1] + np.sqrt(1 - self._keep**2) * fresh)

    def at(self, time_s: float) -> FloatArray:
        """Values [channels] at a time."""
        knot = int(time_s / self.KNOT_S)
        while self._first < knot:
            self._grow()
            self._first += 1
        u = time_s / self.KNOT_S - knot
        weights = np.array(
            [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, 3 * u * (1 + u - u * u) + 1, u**3]
        )
        return np.asarray(self._deviations * (weights / 6 @ np.array(self._knots)))


class Blinks:
    """Irregular blinks, 16 a minute: quick to close, slower to open, 0.22 to 0.39 s long.

    rate: how many more or fewer of them; pauses change, a blink keeps its length. 0: none.
    """

    SHORTEST_PAUSE_S = 1.0
    MEAN_PAUSE_S = 3.5
    CLOSE_S = (0.08, 0.10)
    HOLD_S = (0.03, 0.05)
    OPEN_S = (0.11, 0.24)

    def __init__(self, random: Random, *, rate: float = 1.0) -> None:
        self._random = random
        self._slower = 1 / rate if rate else math.inf
        self._end = 0.0
        self._plan()

    def _plan(self) -> None:
        pause = self._random.gamma(2.0, (self.MEAN_PAUSE_S - self.SHORTEST_PAUSE_S) / 2)
        self._start = self._end + (self.SHORTEST_PAUSE_S + pause) * self._slower
        self._shut = self._start + self._random.uniform(*self.CLOSE_S)
        self._reopen = self._shut + self._random.uniform(*self.HOLD_S)
        self._end = self._reopen + self._random.uniform(*self.OPEN_S)

    def at(self, time_s: float) -> float:
        """How far the eyes are closed, 0 to 1."""
        while time_s >= self._end:
            self._plan()
        if time_s <= self._start:
            return 0.0
        closing = smoothstep((time_s - self._start) / (self._shut - self._start))
        opening = smoothstep((time_s - self._reopen) / (self._end - self._reopen))
        return float(closing - opening)


class Glances:
    """Small saccades: a new direction for 0.5 to 2.5 s, every other one back to the middle."""

    HOLD_S = (0.5, 2.5)
    SACCADE_S = 0.045
    DEVIATION_DEG = np.array([2.2, 1.2])
    MOST_DEG = np.array([5.0, 3.0])

    def __init__(self, random: Random) -> None:
        self._random = random
        self._from = self._to = np.zeros(2)
        self._start = 0.0
        self._next = random.uniform(*self.HOLD_S)

    def at(self, time_s: float) -> FloatArray:
        """Gaze [2] in degrees, to the viewer's right and down."""
        while time_s >= self._next:
            self._from, self._start = self._to, self._next
            away = self._random.uniform() < 0.5
            target = self._random.normal(0, self.DEVIATION_DEG)
            self._to = np.clip(target, -self.MOST_DEG, self.MOST_DEG) * away
            self._next += self._random.uniform(*self.HOLD_S)
        moved = smoothstep((time_s - self._start) / self.SACCADE_S)
        return np.asarray(self._from + (self._to - self._from) * moved)


class Accents:
    """Finds where a voice is strong and answers with a short nod and now and then the brows.

    Works on level differences, so quiet and loud recordings get the same; causal.
    """

    FAST_S, SLOW_S, ACTIVE_S = 0.06, 0.8, 0.7
    PEAK_FALL_DB_S = 1.0
    QUIETEST_PEAK_DB = -58.0
    STEP_DB = 4.0
    PAUSE_S = (0.8, 1.8)
    NOD_S = 0.6
    NOD_DEG = (1.0, 2.0)
    BROW_CHANCE = 0.4

    def __init__(self, random: Random, *, fps: float) -> None:
        self._random = random
        self._fps = fps
        self._fast = self._slow = float("nan")
        self._peak = self.QUIETEST_PEAK_DB
        self._ready = 0.5
        self._pulses: list[tuple[float, float, float]] = []
        self.activity = 0.0

    def hear(self, level_db: float, time_s: float) -> None:
        """Take the level of the frame at a time."""
        if math.isnan(self._fast):
            self._fast = self._slow = level_db
        self._fast += (level_db - self._fast) * self._gain(self.FAST_S)
        self._slow += (level_db - self._slow) * self._gain(self.SLOW_S)
        fallen = self._peak - self.PEAK_FALL_DB_S / self._fps
        self._peak = max(self._fast, fallen, self.QUIETEST_PEAK_DB)
        speaking = self._fast > max(self._peak - 20, self.QUIETEST_PEAK_DB)
        self.activity += (float(speaking) - self.activity) * self._gain(self.ACTIVE_S)
        strong = self._fast > self._peak - 8 and self._fast > self._slow + self.STEP_DB
        if speaking and strong and time_s >= self._ready:
            self._accent(time_s)

    def _gain(self, memory_s: float) -> float:
        return 1 - math.exp(-1 / (self._fps * memory_s))

    def _accent(self, time_s: float) -> None:
        nod = self._random.uniform(*self.NOD_DEG)
        brow = self._random.uniform(0.4, 1.0) * (self._random.uniform() < self.BROW_CHANCE)
        self._ready = time_s + self._random.uniform(*self.PAUSE_S)
        self._pulses.append((time_s, nod, float(brow)))

    def at(self, time_s: float) -> tuple[float, float]:
        """Nod in degrees (down) and brow raise, 0 to 1, at a time."""
        self._pulses = [pulse for pulse in self._pulses if time_s < pulse[0] + self.NOD_S]
        nod = brow = 0.0
        for start, nod_deg, raised in self._pulses:
            s = (time_s - start) / self.NOD_S
            shape = float(smoothstep(s / 0.35) - smoothstep((s - 0.35) / 0.65))
            nod, brow = nod + nod_deg * shape, brow + raised * shape
        return nod, min(brow, 1.0)
