"""How strong a voice is against its own loudest, in steps of 40 ms, at any recording's level."""

import math

import numpy as np

from mdth.artefacts import FloatArray
from mdth.motion.energy import Loudness

STEP_HZ = 25
MEMORY_S = 0.06
# The voice's loudest falls this fast; no peak counts as lower than the quietest.
PEAK_FALL_DB_S = 1.0
QUIETEST_PEAK_DB = -55.0
RANGE_DB = 25.0


class Voice:
    """Strength of the voice, 0 to 1, of each step of sound; blocks of any size give the same."""

    def __init__(self) -> None:
        self._loudness = Loudness(fps=STEP_HZ)
        self._level = math.nan
        self._peak = QUIETEST_PEAK_DB

    def feed(self, block: FloatArray) -> list[float]:
        """The steps that are whole now, for the next samples, mono, 16 kHz."""
        return [self._strength(level) for level in self._loudness.feed(block)]

    def _strength(self, level_db: float) -> float:
        if math.isnan(self._level):
            self._level = level_db
        self._level += (level_db - self._level) * -math.expm1(-1 / (STEP_HZ * MEMORY_S))
        self._peak = max(self._level, self._peak - PEAK_FALL_DB_S / STEP_HZ, QUIETEST_PEAK_DB)
        return float(np.clip((self._level - self._peak) / RANGE_DB + 1, 0, 1))
