"""Smooth steps, and the one-euro filter: steady when still, quick when moving.

Casiez, Roussel, Vogel, "1 Euro filter: a simple speed-based low-pass filter for noisy input in
interactive systems", CHI 2012.
"""

import math

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray


def smoothstep(value: npt.ArrayLike) -> FloatArray:
    """0 below 0, 1 above 1, a smooth cubic between; single precision stays single."""
    clipped = np.clip(value, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3 - 2 * clipped))


class OneEuro:
    """Filters samples [...] that come `fps` times a second, each channel by its own speed.

    min_cutoff_hz: cutoff at rest; lower removes more jitter and lags more.
    beta: how much the cutoff rises, Hz per unit a second of speed; higher lags less in movement.
    """

    def __init__(
        self, *, fps: float, min_cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0
    ) -> None:
        if not (fps > 0 and min_cutoff_hz > 0 and speed_cutoff_hz > 0 and beta >= 0):
            raise ValueError("fps and cutoffs must be positive, beta not negative")
        self._fps = fps
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._speed_gain = self._gain(np.float64(speed_cutoff_hz))
        self._value: FloatArray | None = None
        self._last: FloatArray = np.zeros(())
        self._speed: FloatArray = np.zeros(())

    def _gain(self, cutoff_hz: FloatArray | np.float64) -> FloatArray:
        """Weight of a new sample in a first-order low pass (equations 4 and 5 of the paper)."""
        step = 2 * math.pi * cutoff_hz / self._fps
        return np.asarray(step / (step + 1))

    def __call__(self, sample: npt.ArrayLike) -> FloatArray:
        """The filtered value for the next sample; the first passes as it is."""
        sample = np.asarray(sample, np.float64)
        if self._value is None:
            self._value = self._last = sample
            self._speed = np.zeros_like(sample)
            return sample
        # From raw sample to raw sample, as in the authors' later code: measured from the filtered
        # value the lag would count as speed, and the result depend on the rate.
        speed = (sample - self._last) * self._fps
        self._last = sample
        self._speed = self._speed + self._speed_gain * (speed - self._speed)
        cutoff_hz = self._min_cutoff_hz + self._beta * np.abs(self._speed)
        self._value = self._value + self._gain(cutoff_hz) * (sample - self._value)
        return self._value


def one_euro(track: npt.ArrayLike, *, fps: float, min_cutoff_hz: float, beta: float) -> FloatArray:
    """A track [T,...] filtered over its first axis by `OneEuro`."""
    track = np.asarray(track, np.float64)
    filtered = OneEuro(fps=fps, min_cutoff_hz=min_cutoff_hz, beta=beta)
    smooth = np.empty_like(track)
    for index, sample in enumerate(track):
        smooth[index] = filtered(sample)
    return smooth
