"""Scores of predicted against tracked lips."""

import numpy as np

from mdth.artefacts import FloatArray
from training.measures import NAMES

# Phones that shut the lips: in the smallest gap so near their middle, under so many eye distances.
LABIALS, CLOSURE_WINDOW_S, CLOSED_GAP = ("P", "B", "M"), 0.06, 0.02
# Of predicted against tracked measures: made [T,6], tracked [T,6], fps.
Pair = tuple[FloatArray, FloatArray, float]
# Means over clips; a correlation has its 95 % bootstrap interval over clips beside it.
Scores = dict[str, float | list[float]]
REACH_S = 0.2


def correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson correlation over the last axis."""
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    power = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    found: FloatArray = (a * b).sum(axis=-1) / np.maximum(power, 1e-12)
    return found


def bootstrap(values: FloatArray) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` [C]."""
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def lagged(made: FloatArray, tracked: FloatArray, fps: float) -> tuple[FloatArray, FloatArray]:
    """Correlations [L] of two tracks [T] for lags [L] (s); positive lag: `made` is late."""
    reach = round(REACH_S * fps)
    lags = np.arange(-reach, reach + 1)
    inner = slice(reach, len(tracked) - reach)
    scores = [correlation(np.roll(made, -lag)[inner], tracked[inner]) for lag in lags]
    return lags / fps, np.array(scores)


def best_lag(made: FloatArray, tracked: FloatArray, fps: float) -> tuple[float, float]:
    """The lag (s, to a millisecond) at which tracks [T] correlate best, and that correlation."""
    from scipy.interpolate import CubicSpline

    lags, scores = lagged(made, tracked, fps)
    fine = np.arange(lags[0], lags[-1], 0.001)
    values = CubicSpline(lags, scores)(fine)
    return float(fine[np.argmax(values)]), float(values.max())


def score(pairs: list[Pair]) -> Scores:
    """Correlations of opening and width at lag 0 and at the opening's lag, and amplitudes."""
    rows: dict[str, list[float]] = {}
    for made, tracked, fps in pairs:
        lag_s, best = best_lag(made[:, 0], tracked[:, 0], fps)
        at = round(lag_s * fps) + round(REACH_S * fps)
        # Of the real lips, as much off as ours are late: what lag 0 leaves of a perfect mouth.
        itself = [lagged(measure, measure, fps)[1][at] for measure in tracked[:, :2].T]
        row = {
            "opening": float(correlation(made[:, 0], tracked[:, 0])),
            "width": float(correlation(made[:, 1], tracked[:, 1])),
            "opening at its lag": best,
            "width at that lag": float(lagged(made[:, 1], tracked[:, 1], fps)[1][at]),
            "real opening at that lag": float(itself[0]),
            "real width at that lag": float(itself[1]),
            "lag_ms": 1000 * lag_s,
        }  # fmt: skip
        spread = made.std(axis=0) / tracked.std(axis=0)
        row |= {f"amplitude of {name}": float(x) for name, x in zip(NAMES, spread, strict=True)}
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    scores: Scores = {name: float(np.mean(values)) for name, values in rows.items()}
    # Beside the mean: two odd clips of ten must not decide.
    scores |= {
        f"{name}, median": float(np.median(rows[name])) for name in rows if "amplitude" in name
    }
    for name in ("opening", "width"):
        scores[f"{name} [95 %]"] = list(bootstrap(np.array(rows[name])))
    scores["lag_ms of each"] = rows["lag_ms"]
    return scores


def smallest_gaps(gaps: FloatArray, fps: float, middles_s: FloatArray) -> FloatArray:
    """The smallest of gaps [T] near each middle [M] of a phone; after the end: left out."""
    time_s = np.arange(len(gaps)) / fps
    near = [np.abs(time_s - middle) <= CLOSURE_WINDOW_S for middle in middles_s]
    return np.array([gaps[chosen].min() for chosen in near if chosen.any()])
