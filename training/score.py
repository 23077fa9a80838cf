"""Scores of predicted against tracked lips."""

from dataclasses import dataclass

import numpy as np

from mdth.artefacts import FloatArray

CLOSURE_WINDOW_S = 0.06
CLOSED_GAP = 0.02


@dataclass(frozen=True)
class Score:
    """Correlations are means over clips, with a 95 % bootstrap interval over clips.

    spread: ratio of the standard deviations, predicted over tracked, mean over clips.
    lag_frames: the shift of the prediction that correlates best; positive is late.
    """

    opening: float
    opening_low: float
    opening_high: float
    width: float
    width_low: float
    width_high: float
    spread: float
    lag_frames: float


def correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson correlation over the last axis."""
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    power = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    found: FloatArray = (a * b).sum(axis=-1) / np.maximum(power, 1e-12)
    return found


def bootstrap(
    values: FloatArray, *, random_seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` [C]."""
    rng = np.random.default_rng(random_seed)
    means = rng.choice(values, (draws, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def best_lag(predicted: FloatArray, tracked: FloatArray, *, reach: int = 4) -> float:
    """Frames [C,T] by which the prediction is late, to a tenth of a frame."""
    lags = np.arange(-reach, reach + 1)
    inner = slice(reach, tracked.shape[1] - reach)
    scores = [
        correlation(np.roll(predicted, -lag, axis=1)[:, inner], tracked[:, inner]).mean()
        for lag in lags
    ]
    fine = np.arange(-reach, reach + 0.05, 0.1)
    from scipy.interpolate import CubicSpline

    return float(fine[np.argmax(CubicSpline(lags, scores)(fine))])


def score(
    gaps: FloatArray, widths: FloatArray, tracked_gaps: FloatArray, tracked_widths: FloatArray
) -> Score:
    """Score predicted openings and widths [C,T] against tracked ones."""
    opening = correlation(gaps, tracked_gaps)
    width = correlation(widths, tracked_widths)
    spread = gaps.std(axis=1) / tracked_gaps.std(axis=1)
    return Score(
        float(opening.mean()), *bootstrap(opening), float(width.mean()), *bootstrap(width),
        float(spread.mean()), best_lag(gaps, tracked_gaps),
    )  # fmt: skip


def closure_rate(gaps: FloatArray, times_s: FloatArray, closures: FloatArray) -> float:
    """The part of closures [M,2] (clip, time) with a gap under 0.02 within 60 ms.

    gaps [C,T] at `times_s` [T].
    """
    smallest = [
        gaps[int(clip), np.abs(times_s - time_s) <= CLOSURE_WINDOW_S].min()
        for clip, time_s in closures
    ]
    return float(np.mean(np.array(smallest) < CLOSED_GAP)) if smallest else float("nan")
