"""Scores of lips against planted lags and amplitudes."""

import numpy as np
import pytest

from training.measures import NAMES
from training.score import best_lag, correlation, score

RNG = np.random.default_rng(0)
FPS = 25.0
SMOOTH = np.apply_along_axis(np.convolve, 0, RNG.standard_normal((300, 6)), np.hanning(9), "same")


def test_planted_lag_and_amplitude_are_found() -> None:
    late = np.roll(SMOOTH, 2, axis=0) * [0.5, 1.5, 1, 1, 1, 2] + 3
    found = score([(late, SMOOTH, FPS), (late, SMOOTH, FPS)])
    assert found["lag_ms"] == pytest.approx(80, abs=2)
    assert found["opening at its lag"] == pytest.approx(1, abs=1e-3)
    assert found["width at that lag"] == pytest.approx(1, abs=1e-3)
    assert found["opening"] == pytest.approx(correlation(late[:, 0], SMOOTH[:, 0]))
    assert found["real opening at that lag"] == pytest.approx(found["opening"], abs=0.05)
    amplitudes = [found[f"amplitude of {name}"] for name in NAMES]
    assert amplitudes == pytest.approx([0.5, 1.5, 1, 1, 1, 2])
    assert best_lag(SMOOTH[:, 0], late[:, 0], FPS)[0] == pytest.approx(-0.08, abs=0.002)
