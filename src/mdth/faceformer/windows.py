"""The one window scheme by which speech is heard: whole files, streams and training alike.

The speech encoder is bidirectional and its features change with the window it is given, so the
windows lie on one absolute grid: window n of a sound depends on the sound alone, never on how the
sound arrived. The unit is a feature frame, 384 samples at 16 kHz (24 ms).

    frames of window n:   past | fade in, overlap | alone | fade out, overlap | ahead
    it emits the frames   n * hop ... n * hop + hop + overlap - 1

Each frame in an overlap is the linear cross-fade of two windows. What lies before the start and
after the end of the sound is digital silence.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

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
    """Past, hop, overlap and look-ahead of a window, in feature frames of 24 ms."""

    past: int
    hop: int
    overlap: int
    ahead: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= self.hop or self.past < 0 or self.ahead < 0:
            raise ValueError(f"{self}: overlap must lie in 0..hop, past and ahead above 0")

    @property
    def frames(self) -> int:
        """Feature frames of a window."""
        return self.past + self.hop + self.overlap + self.ahead

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return self.frames * FRAME_SAMPLES + TAIL_SAMPLES

    @property
    def look_ahead_s(self) -> float:
        """A video frame at time t is final once the sound up to t + this many seconds is there.

        The worst frame needs, for its cubic interpolation, the feature frame two after its own
        place, and that one opens a window.
        """
        reach = (2 + self.hop + self.overlap + self.ahead) * FRAME_SAMPLES
        return (reach + TAIL_SAMPLES - CENTRE_SAMPLES) / SAMPLE_RATE_HZ

    def start(self, window: int) -> int:
        """First sample of a window; negative ones lie before the sound."""
        return (window * self.hop - self.past) * FRAME_SAMPLES

    def first_window(self) -> int:
        """The first window whose frames matter for a video frame at time 0."""
        first_frame = math.floor(frame_position(0.0)) - 1
        return math.floor((first_frame - self.overlap) / self.hop)

    def zone(self) -> slice:
        """The frames of a window that it emits."""
        return slice(self.past, self.past + self.hop + self.overlap)

    def weights(self) -> FloatArray:
        """Cross-fade weights [hop + overlap] of the emitted frames."""
        rise = (np.arange(self.overlap) + 0.5) / max(self.overlap, 1)
        alone = np.ones(self.hop - self.overlap)
        return np.concatenate([rise, alone, rise[::-1]]).astype(np.float32)


def frame_position(time_s: float) -> float:
    """The place of a time of the sound on the feature grid: frame j has the place j."""
    return (time_s * SAMPLE_RATE_HZ - CENTRE_SAMPLES) / FRAME_SAMPLES


def level(window: FloatArray) -> FloatArray:
    """A window [..., N] scaled by its own loudness: the RMS of its loudest 96 ms block."""
    blocks = window[..., : window.shape[-1] // LEVEL_BLOCK * LEVEL_BLOCK]
    power = np.square(blocks.reshape(*blocks.shape[:-1], -1, LEVEL_BLOCK), dtype=np.float64)
    loudest = power.mean(axis=-1).max(axis=-1)
    gain = LEVEL_RMS / np.sqrt(loudest + LEVEL_FLOOR_RMS**2)
    scaled: FloatArray = (window * gain[..., None]).astype(np.float32)
    return scaled


def interpolate(values: FloatArray, position: float, first: int) -> FloatArray:
    """Catmull-Rom between rows of `values` [T,...]; row 0 has the place `first` on the grid."""
    index = math.floor(position)
    x = position - index
    taps = np.array(
        [
            -0.5 * x + x**2 - 0.5 * x**3,
            1 - 2.5 * x**2 + 1.5 * x**3,
            0.5 * x + 2 * x**2 - 1.5 * x**3,
            0.5 * (x**3 - x**2),
        ]
    )
    rows = values[index - 1 - first : index + 3 - first]
    mixed: FloatArray = np.tensordot(taps, rows, axes=1)
    return mixed
