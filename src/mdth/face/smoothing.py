"""Smooth steps, and the one-euro filter: steady when still, quick when moving.

Casiez, Roussel, Vogel, "1 Euro filter: a simple speed-based low-pass filter for noisy input in
interactive systems", CHI 2012.
"""

import math

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray

SPEED_CUTOFF_HZ = 1.0


def smoothstep(value: npt.ArrayLike) -> FloatArray:
    """0 below 0, 1 above 1, a smooth cubic between; single precision stays single."""
    clipped = np.minimum(np.maximum(value, 0.0), 1.0)  # less than half of what `clip` takes
    return np.asarray(clipped * clipped * (3 - 2 * clipped))


def one_euro(
    track: npt.ArrayLike,
    *,
    fps: float,
    min_cutoff_hz: float,
    beta: float,
    from_filtered: bool = False,
) -> FloatArray:
    """A track [T,...] of `fps` samples a second, each channel filtered by its own speed.

    min_cutoff_hz: cutoff at rest; lower removes more jitter and lags more.
    beta: how much the cutoff rises, Hz per unit a second of speed; higher lags less in movement.
    from_filtered: measure the speed from the last filtered value, as the paper's first listing; the
    lag then counts as speed, and the result depends on the rate. Else from raw sample to raw
    sample, as the authors' later code. The first sample passes as it is.
    """

    def gain(cutoff_hz: FloatArray | float) -> FloatArray:
        """Weight of a new sample in a first-order low pass (equations 4 and 5 of the paper)."""
        step = 2 * math.pi * np.asarray(cutoff_hz) / fps
        return np.asarray(step / (step + 1))

    track = np.asarray(track, np.float64)
    smooth, speed = track.copy(), np.zeros(track.shape[1:])
    for now in range(1, len(track)):
        raw_speed = (track[now] - (smooth if from_filtered else track)[now - 1]) * fps
        speed = speed + gain(SPEED_CUTOFF_HZ) * (raw_speed - speed)
        weight = gain(min_cutoff_hz + beta * np.abs(speed))
        smooth[now] = smooth[now - 1] + weight * (track[now] - smooth[now - 1])
    return smooth
