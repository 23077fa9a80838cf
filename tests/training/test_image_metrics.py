"""Picture quality against values worked out by hand."""

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed (extra `train`)")
from training import image_metrics as metrics  # noqa: E402


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(50, 200, (32, 48, 3))


def test_psnr_of_a_constant_error_inside_the_mask(picture: np.ndarray) -> None:
    mask = np.zeros(picture.shape[:2])
    mask[8:16] = 1
    other = picture.copy()
    other[8:16] += 5
    other[:8] += 100
    assert metrics.psnr(other, picture, mask) == pytest.approx(20 * np.log10(255 / 5))


def test_equal_pictures_are_equal(picture: np.ndarray) -> None:
    assert metrics.ssim(picture, picture, np.ones(picture.shape[:2])) == pytest.approx(1)
    assert metrics.gmsd(picture, picture) == pytest.approx(0, abs=1e-12)


def test_gmsd_sees_blur_and_not_brightness(picture: np.ndarray) -> None:
    blurred = (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1)) / 3
    # Beyond its border a picture is taken to be black, so brightness shows there alone.
    assert metrics.gmsd(picture + 20, picture) < 0.02
    assert metrics.gmsd(blurred, picture) > 0.05


def test_gradient_energy_of_a_step() -> None:
    step = np.zeros((4, 6, 3))
    step[:, 3:] = 10
    mask = np.ones((4, 6))
    # Three rows below the first, one change of 10 in each of three colours.
    assert metrics.gradient_energy(step, mask) == 3 * 3 * 100
    mask[:, 3] = 0
    assert metrics.gradient_energy(step, mask) == 0
