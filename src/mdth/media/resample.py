"""Sound that comes in blocks of any rate, at the one that speech is heard at."""

from collections import deque
from fractions import Fraction
from math import ceil
from typing import cast

import av
import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError
from mdth.media.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ

LOUDEST = 32_768.0  # of what a mouth hears, which levels by itself: a file's floats may be over 1


def samples(sound: npt.ArrayLike, *, most: float = 1.0) -> FloatArray:
    """Float or int16 [n] as float32 of its own, at most `most`. Raises InputError."""
    given = np.asarray(sound)
    if given.ndim != 1 or (given.dtype.kind != "f" and given.dtype != np.int16):
        raise InputError(f"sound {given.dtype} {given.shape}: give floats or int16 [n], mono")
    if given.dtype == np.int16:
        return (given / 32768).astype(np.float32)
    return np.clip(np.nan_to_num(given.astype(np.float32)), -most, most)


def _check_rate(hz: int) -> None:
    if not LOWEST_RATE_HZ <= hz <= HIGHEST_RATE_HZ:
        raise InputError(f"{hz} Hz: give {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")


class SoundQueue:
    """Float32 mono blocks of any rates, in the order they came, at `to_hz`; count: samples."""

    def __init__(self, to_hz: int = SPEECH_RATE_HZ) -> None:
        _check_rate(to_hz)
        self._rate_hz, self._to_hz = SPEECH_RATE_HZ, to_hz
        self._resampler: av.AudioResampler | None = None
        self._blocks, self.count = deque[FloatArray](), 0

    def push(self, block: FloatArray, rate_hz: int) -> None:
        """Behind all, without a seam. Raises InputError for no usable rate."""
        if rate_hz != self._rate_hz:
            _check_rate(rate_hz)
            self.end()
            self._rate_hz = rate_hz
        if rate_hz == self._to_hz or not len(block):
            self.add(block)
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block)[None], "flt", "mono")
        frame.sample_rate = rate_hz
        self._resampler = self._resampler or av.AudioResampler("flt", "mono", self._to_hz)
        self._add_resampled(frame)

    def end(self) -> None:
        """What comes is another sound."""
        if self._resampler:
            self._add_resampled(None)
            self._resampler = None

    def _add_resampled(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler
        for final in self._resampler.resample(frame):
            self.add(np.asarray(final.to_ndarray()[0], np.float32))

    def add(self, block: FloatArray) -> None:
        """Samples at `to_hz` behind all."""
        if len(block):
            self._blocks.append(block)
            self.count += len(block)

    def take(self, count: int) -> FloatArray:
        """The first samples [n], at most `count`."""
        taken = [np.zeros(0, np.float32)]
        while count and self._blocks:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
            taken.append(block[:count])
            count -= len(taken[-1])
            self.count -= len(taken[-1])
        return cast(FloatArray, np.concatenate(taken))


class Utterances:
    """What is to be said, at any rates: it is heard at 16 kHz and shown at `shown_hz`."""

    def __init__(self, shown_hz: int = SPEECH_RATE_HZ) -> None:
        self._ratio = Fraction(shown_hz, SPEECH_RATE_HZ)
        self._heard, self._shown = SoundQueue(), SoundQueue(shown_hz)
        # How many samples wait before each utterance's end; where those end that were taken.
        self._ends, self._taken = deque[int](), deque[int]()
        # What was taken, as it is shown, and where it begins.
        self._placed = deque[tuple[int, FloatArray]]()

    @property
    def count(self) -> int:
        """Samples of 16 kHz that are there at both rates."""
        both = int((self._shown.count - (self._ratio != 1)) / self._ratio)
        return max(0, min(self._heard.count, both))

    def push(self, block: FloatArray, rate_hz: int) -> None:
        """Float32 [n] behind all. Raises InputError."""
        for queue in (self._heard, self._shown):
            queue.push(block, rate_hz)

    def end(self) -> None:
        """An utterance ends here; one without sound is none."""
        self._heard.end()
        self._shown.end()
        least = ceil(self._heard.count * self._ratio) + (self._ratio != 1)
        self._shown.add(np.zeros(max(0, least - self._shown.count), np.float32))
        if self._heard.count > (self._ends[-1] if self._ends else 0):
            self._ends.append(self._heard.count)

    def take(self, count: int, *, at: int) -> FloatArray:
        """The first samples [n] of 16 kHz, at most `count`; they are shown from sample `at` on."""
        taken = self._heard.take(min(count, self.count))
        end, first = at + len(taken), self._place(at)
        self._placed.append((first, self._shown.take(self._place(end) - first)))
        if not self._heard.count:
            self._shown.take(self._shown.count)  # the rest of what was rounded
        self._ends = deque(before - len(taken) for before in self._ends)
        while self._ends and self._ends[0] <= 0:
            self._taken.append(end + self._ends.popleft())
        return taken

    def shown(self, start: int, end: int) -> tuple[FloatArray, int]:
        """What is shown from a sample of 16 kHz to another, each time later ones.

        And how many utterances end in it.
        """
        first, last = self._place(start), self._place(end)
        sound, waiting = np.zeros(last - first, np.float32), len(self._taken)
        while self._placed and self._placed[0][0] < last:
            place, piece = self._placed.popleft()
            now, later = np.split(piece, [last - place])
            sound[place - first :][: len(now)] = now
            if len(later):
                self._placed.appendleft((last, later))
        while self._taken and self._taken[0] <= end:
            self._taken.popleft()
        return sound, waiting - len(self._taken)

    def _place(self, sample: int) -> int:
        return round(sample * self._ratio)
