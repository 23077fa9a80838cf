"""Sound that comes in blocks of any rate, at the one that speech is heard at."""

from collections import deque
from typing import cast

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


class SoundQueue:
    """Mono sound at 16 kHz in the order it came, at any rates; count: samples."""

    def __init__(self) -> None:
        self._resampler = Resampler(SPEECH_RATE_HZ)
        self._blocks, self.count = deque[FloatArray](), 0
        # How many samples wait before each utterance's end; where those end that were taken.
        self._ends, self._taken = deque[int](), deque[int]()

    def push(self, sound: npt.ArrayLike, rate_hz: int) -> bool:
        """Float (full scale 1) or int16 [n] behind all; whether n is not 0. Raises InputError."""
        block = samples(sound)
        if rate_hz != self._resampler.rate_hz:
            self._add(self._resampler.finish())
            self._resampler = Resampler(rate_hz)
        self._add(self._resampler.feed(block))
        return bool(len(block))

    def end(self) -> None:
        """An utterance ends here; one without sound is none."""
        self._add(self._resampler.finish())
        if self.count > (self._ends[-1] if self._ends else 0):
            self._ends.append(self.count)

    def take(self, count: int, *, at: int = 0) -> FloatArray:
        """The first samples [n], at most `count`, which are shown from sample `at` on."""
        taken, left = [np.zeros(0, np.float32)], count
        while left and self._blocks:
            block = self._blocks.popleft()
            if len(block) > left:
                self._blocks.appendleft(block[left:])
            taken.append(block[:left])
            left -= len(taken[-1])
        self.count -= count - left
        self._ends = deque(before - (count - left) for before in self._ends)
        while self._ends and self._ends[0] <= 0:
            self._taken.append(at + count - left + self._ends.popleft())
        return cast(FloatArray, np.concatenate(taken))

    def ended(self, sample: int) -> int:
        """How many utterances end by a sample, each told once."""
        before = len(self._taken)
        while self._taken and self._taken[0] <= sample:
            self._taken.popleft()
        return before - len(self._taken)

    def _add(self, block: FloatArray) -> None:
        if len(block):
            self._blocks.append(block)
            self.count += len(block)


def _joined(frames: list[av.AudioFrame]) -> FloatArray:
    pieces = [np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)]
    return np.concatenate(pieces, dtype=np.float32)
