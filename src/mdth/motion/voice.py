"""How strong a voice is against its own loudest, in steps of 40 ms, at any recording's level."""

import math

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray

STEP_HZ = 25
STEP = SPEECH_RATE_HZ // STEP_HZ  # samples
MEMORY_S = 0.06
# The voice's loudest falls this fast; no peak counts as lower than the quietest.
PEAK_FALL_DB_S = 1.0
QUIETEST_PEAK_DB = -55.0
RANGE_DB = 25.0
FLOOR_DB = -80.0


class Voice:
    """Strength of the voice, 0 to 1, of each step of sound; blocks of any size give the same."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)
        self._level = math.nan
        self._peak = QUIETEST_PEAK_DB

    def feed(self, block: FloatArray) -> list[float]:
        """The steps that are whole now, for the next samples, mono, 16 kHz."""
        held = np.concatenate([self._held, block])
        whole = len(held) // STEP * STEP
        self._held = held[whole:]
        return [self._strength(step) for step in held[:whole].reshape(-1, STEP)]

    def _strength(self, step: FloatArray) -> float:
        power = float(np.mean(np.square(step, dtype=np.float64)))
        level_db = max(FLOOR_DB, 10 * math.log10(power + 1e-12))  # of full scale
        if math.isnan(self._level):
            self._level = level_db
        self._level += (level_db - self._level) * -math.expm1(-1 / (STEP_HZ * MEMORY_S))
        self._peak = max(self._level, self._peak - PEAK_FALL_DB_S / STEP_HZ, QUIETEST_PEAK_DB)
        return float(np.clip((self._level - self._peak) / RANGE_DB + 1, 0, 1))
