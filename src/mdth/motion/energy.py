"""How loud the speech is, one value for each video frame."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray

FLOOR_DB = -80.0


def level_db(samples: FloatArray) -> float:
    """RMS level in dB of full scale, at least FLOOR_DB."""
    if len(samples) == 0:
        return FLOOR_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DB, 10 * math.log10(power + 1e-12))


def loudness(blocks: Iterable[FloatArray], *, fps: float) -> Iterator[float]:
    """Level in dB of each video frame's own sound, from blocks of 16 kHz samples of any size.

    Gives round(duration * fps) values, at least 1. Holds no more than a block and a frame.
    """
    held = np.zeros(0, np.float32)
    start = heard = frame = 0
    for block in blocks:
        held = np.concatenate([held, block])
        heard += len(block)
        while (end := round((frame + 1) * SPEECH_RATE_HZ / fps)) <= heard:
            yield level_db(held[: end - start])
            held, start, frame = held[end - start :], end, frame + 1
    if frame < max(1, round(heard / SPEECH_RATE_HZ * fps)):
        yield level_db(held)
