import numpy as np
import pytest

from mdth.face.smoothing import one_euro


def test_jitter_at_rest_is_removed():
    jitter = np.random.default_rng(0).normal(0, 0.3, (300, 4))
    assert one_euro(jitter, fps=30, min_cutoff_hz=1.0, beta=0.0)[30:].std() < 0.35 * jitter.std()


def test_a_step_is_reached_and_never_passed():
    smooth = one_euro(np.repeat([0.0, 1.0], 60), fps=30, min_cutoff_hz=1.0, beta=0.5)
    assert smooth.min() >= 0 and smooth.max() <= 1
    assert smooth[-1] > 0.99


def ramp_lag_s(fps, beta):
    """How long a steady movement of 20 units a second is behind."""
    time = np.arange(0, 3, 1 / fps)
    return time[-1] - one_euro(20 * time, fps=fps, min_cutoff_hz=1.0, beta=beta)[-1] / 20


def test_beta_takes_the_lag_out_of_movement():
    assert ramp_lag_s(30, 0.0) == pytest.approx(1 / (2 * np.pi), rel=0.02)
    assert ramp_lag_s(30, 0.5) < 0.02


@pytest.mark.parametrize("fps", [15.0, 24.0, 60.0])
def test_lag_in_seconds_does_not_depend_on_the_rate(fps):
    assert ramp_lag_s(fps, 0.1) == pytest.approx(ramp_lag_s(120.0, 0.1), abs=0.002)


def test_channels_do_not_disturb_each_other():
    rng = np.random.default_rng(1)
    calm, wild = rng.normal(0, 0.01, 90), rng.normal(0, 50, 90)
    both = one_euro(np.stack([calm, wild], axis=1), fps=30, min_cutoff_hz=1, beta=1)
    np.testing.assert_allclose(both[:, 0], one_euro(calm, fps=30, min_cutoff_hz=1, beta=1))


def test_first_sample_passes_and_later_ones_change_nothing_before():
    track = np.random.default_rng(2).normal(0, 1, (40, 2, 3))
    whole = one_euro(track, fps=25, min_cutoff_hz=2, beta=0.3)
    np.testing.assert_array_equal(whole[0], track[0])
    half = one_euro(track[:20], fps=25, min_cutoff_hz=2, beta=0.3)
    np.testing.assert_array_equal(half, whole[:20])
