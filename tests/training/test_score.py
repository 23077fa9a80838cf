"""Scores of lips."""

import numpy as np
import pytest

from training.score import best_lag, bootstrap, closure_rate, correlation, score

RNG = np.random.default_rng(0)
TRACKED = np.cumsum(RNG.standard_normal((6, 75)), axis=1)


def test_a_perfect_prediction() -> None:
    found = score(TRACKED, TRACKED, TRACKED, TRACKED)
    assert (found.opening, found.spread) == (pytest.approx(1), pytest.approx(1))
    assert found.lag_frames == pytest.approx(0, abs=0.05)


def test_a_late_prediction_has_a_positive_lag() -> None:
    assert best_lag(np.roll(TRACKED, 2, axis=1), TRACKED) == pytest.approx(2, abs=0.15)


def test_noise_does_not_correlate() -> None:
    noise = RNG.standard_normal((50, 75))
    assert abs(correlation(noise, RNG.standard_normal((50, 75))).mean()) < 0.1


def test_the_interval_holds_the_mean() -> None:
    low, high = bootstrap(np.array([0.7, 0.8, 0.9, 0.85]))
    assert 0.7 <= low < 0.8125 < high <= 0.9


def test_closures_count_only_near_ones() -> None:
    times = np.arange(75) / 25
    gaps = np.full((1, 75), 0.1)
    gaps[0, 25] = 0.01
    assert closure_rate(gaps, times, np.array([[0, 1.05]])) == 1
    assert closure_rate(gaps, times, np.array([[0, 1.05], [0, 1.2]])) == 0.5
