"""The one window scheme by which speech is heard: whole files, streams and training alike.

The speech encoder is bidirectional and its features change with the window it is given, so the
windows lie on one absolute grid: window n of a sound depends on the sound alone, never on how the
sound arrived. The unit is a feature frame, 384 samples at 16 kHz (24 ms).

    frames of window n:   past | fade in, one hop | fade out, one hop | ahead

Every moment is the linear cross-fade of the two windows whose fades hold it. A hop is not a whole
number of frames: neighbours then hear the sound at different phases of the frame grid, and what
depends on the phase fades out. What lies before the start and after the end of the sound is digital
silence. Live there is no time for fades: each video frame has a window of its own (`LiveScheme`).
"""

import math
from dataclasses import dataclass

import numpy as np

from mdth.artefacts import FloatArray

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 384
# A window of T frames needs T * 384 + 511 samples (the encoder's stem sees 895); 512 is rounder.
TAIL_SAMPLES = 512
# The sample in the middle of what the first feature frame of a window sees.
CENTRE_SAMPLES = 448

# A window's loudest block is scaled to this RMS; the floor keeps the faintest hiss faint.
LEVEL_RMS = 0.2
LEVEL_BLOCK = 1536
LEVEL_FLOOR_RMS = 1e-3


@dataclass(frozen=True)
class WindowScheme:
    """Past, hop and look-ahead of a window, in feature frames; the hop in steps of a sample."""

    past: int
    hop: float
    ahead: int

    def __post_init__(self) -> None:
        if self.past < 1 or self.hop <= 0 or self.ahead < 2:
            raise ValueError(f"{self}: past from 1, hop above 0, ahead from 2")

    @property
    def frames(self) -> int:
        """Feature frames of a window."""
        return self.past + math.ceil(2 * self.hop) + self.ahead

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return self.frames * FRAME_SAMPLES + TAIL_SAMPLES

    @property
    def hop_samples(self) -> int:
        """Samples from a window to the next."""
        return round(self.hop * FRAME_SAMPLES)

    @property
    def look_ahead_s(self) -> float:
        """A video frame at time t is final once the sound up to t + this many seconds is there."""
        reach = (self.frames - self.past) * FRAME_SAMPLES
        return (reach + TAIL_SAMPLES - CENTRE_SAMPLES) / SAMPLE_RATE_HZ

    def start(self, window: int) -> int:
        """First sample of a window; negative ones lie before the sound."""
        return window * self.hop_samples - self.past * FRAME_SAMPLES

    def last_window(self, time_s: float) -> int:
        """The later of the two windows that a time of the sound is made of."""
        return math.floor((time_s * SAMPLE_RATE_HZ - CENTRE_SAMPLES) / self.hop_samples)

    def blend(self, time_s: float, before: FloatArray, last: FloatArray) -> FloatArray:
        """What two neighbouring windows, rows [T,...] each, say of a time of the sound.

        last: the rows of window `last_window(time_s)`; before: those of the one before it.
        """
        place = time_s * SAMPLE_RATE_HZ - CENTRE_SAMPLES
        window = self.last_window(time_s)
        part = place / self.hop_samples - window
        late = (place - self.start(window)) / FRAME_SAMPLES
        early = (place - self.start(window - 1)) / FRAME_SAMPLES
        return np.asarray(part * interpolate(last, late) + (1 - part) * interpolate(before, early))


@dataclass(frozen=True)
class LiveScheme:
    """One window for each video frame, which is `ahead` feature frames before its end."""

    frames: int
    ahead: int
    fps: float = 25.0

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return self.frames * FRAME_SAMPLES + TAIL_SAMPLES

    @property
    def hop_samples(self) -> int:
        """Samples from a window to the next, at most."""
        return math.ceil(SAMPLE_RATE_HZ / self.fps)

    @property
    def look_ahead_s(self) -> float:
        """A video frame at time t is final once the sound up to t + this many seconds is there."""
        return (self.ahead * FRAME_SAMPLES + TAIL_SAMPLES - CENTRE_SAMPLES) / SAMPLE_RATE_HZ

    def start(self, window: int) -> int:
        """First sample of a window; negative ones lie before the sound."""
        centre = round(window * SAMPLE_RATE_HZ / self.fps)
        return centre - CENTRE_SAMPLES - (self.frames - self.ahead) * FRAME_SAMPLES

    def last_window(self, time_s: float) -> int:
        """The window of the video frame at a time."""
        return round(time_s * self.fps)

    def blend(self, time_s: float, before: FloatArray, last: FloatArray) -> FloatArray:
        """What a window, rows [T,...], says of its frame."""
        return np.asarray(last[self.frames - self.ahead])


def level(window: FloatArray) -> FloatArray:
    """A window [..., N] scaled by its own loudness: the RMS of its loudest 96 ms block."""
    blocks = window[..., : window.shape[-1] // LEVEL_BLOCK * LEVEL_BLOCK]
    power = np.square(blocks.reshape(*blocks.shape[:-1], -1, LEVEL_BLOCK), dtype=np.float64)
    loudest = power.mean(axis=-1).max(axis=-1)
    gain = LEVEL_RMS / np.sqrt(loudest + LEVEL_FLOOR_RMS**2)
    return np.asarray((window * gain[..., None]).astype(np.float32))


def interpolate(rows: FloatArray, place: float) -> FloatArray:
    """Catmull-Rom between rows [T,...] at a place, 1 <= place < T - 2."""
    index = math.floor(place)
    x = place - index
    taps = np.array(
        [
            -0.5 * x + x**2 - 0.5 * x**3,
            1 - 2.5 * x**2 + 1.5 * x**3,
            0.5 * x + 2 * x**2 - 1.5 * x**3,
            0.5 * (x**3 - x**2),
        ]
    )
    return np.asarray(np.tensordot(taps, rows[index - 1 : index + 3], axes=1))
