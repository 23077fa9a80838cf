"""Sound that comes in blocks, at the rate that speech is heard at."""

import av
import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError
from mdth.media.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ


def samples(sound: npt.ArrayLike) -> FloatArray:
    """Float or int16 [n] as float32 of its own, at most full scale. Raises InputError."""
    given = np.asarray(sound)
    if given.ndim != 1 or (given.dtype.kind != "f" and given.dtype != np.int16):
        raise InputError(f"sound {given.dtype} {given.shape}: give floats or int16 [n], mono")
    if given.dtype == np.int16:
        return (given / 32768).astype(np.float32)
    return np.clip(np.nan_to_num(given.astype(np.float32)), -1, 1)


class Resampler:
    """Mono blocks at `rate_hz` -> 16 kHz, without a seam. Raises InputError for no usable rate."""

    def __init__(self, rate_hz: int) -> None:
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise InputError(f"{rate_hz} Hz: give {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
        self.rate_hz = rate_hz
        self._made: av.AudioResampler | None = None

    def feed(self, block: FloatArray) -> FloatArray:
        """What is final of float32 [n]."""
        if self.rate_hz == SPEECH_RATE_HZ or not len(block):
            return block
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block)[None], "flt", "mono")
        frame.sample_rate = self.rate_hz
        self._made = self._made or av.AudioResampler("flt", "mono", SPEECH_RATE_HZ)
        return _joined(self._made.resample(frame))

    def finish(self) -> FloatArray:
        """The rest; what is fed then is another sound."""
        made, self._made = self._made, None
        return _joined(made.resample(None) if made else [])


def _joined(frames: list[av.AudioFrame]) -> FloatArray:
    pieces = [np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)]
    return np.concatenate(pieces, dtype=np.float32)
