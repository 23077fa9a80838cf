"""How loud the speech is, one value for each video frame."""

import math

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray

FLOOR_DB = -80.0


def level_db(samples: FloatArray) -> float:
    """RMS level in dB of full scale, at least FLOOR_DB."""
    if len(samples) == 0:
        return FLOOR_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DB, 10 * math.log10(power + 1e-12))


class Loudness:
    """Level in dB of each video frame's own sound, from blocks of 16 kHz samples of any size.

    Gives round(duration * fps) values, at least 1. Holds no more than a block and a frame.
    """

    def __init__(self, *, fps: float) -> None:
        self._fps = fps
        self._held = np.zeros(0, np.float32)
        self._start = self._heard = self._frame = 0

    def feed(self, block: FloatArray) -> list[float]:
        """The levels of the frames whose sound is whole now."""
        self._held = np.concatenate([self._held, block])
        self._heard += len(block)
        levels = []
        while (end := round((self._frame + 1) * SPEECH_RATE_HZ / self._fps)) <= self._heard:
            levels.append(level_db(self._held[: end - self._start]))
            self._held, self._start = self._held[end - self._start :], end
            self._frame += 1
        return levels

    def finish(self) -> list[float]:
        """The level of a last frame whose sound ended early, if there is one."""
        if self._frame < max(1, round(self._heard / SPEECH_RATE_HZ * self._fps)):
            return [level_db(self._held)]
        return []
