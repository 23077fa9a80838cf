"""Picture quality, as defined in the field; pictures are RGB float 0..255 [h,w,3]."""

import cv2
import numpy as np

from mdth.artefacts import FloatArray


def psnr(picture: FloatArray, true: FloatArray, mask: FloatArray) -> float:
    """Peak signal to noise ratio in dB over the pixels where mask [h,w] is above a half."""
    error = np.square(picture - true)[mask > 0.5].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def ssim(picture: FloatArray, true: FloatArray, mask: FloatArray) -> float:
    """Structural similarity (Wang et al. 2004), mean over the masked pixels of the map."""
    from skimage.metrics import structural_similarity

    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        picture, true, channel_axis=2, data_range=255, full=True, gaussian_weights=True, sigma=1.5
    )
    return float(full[mask > 0.5].mean())


def gmsd(picture: FloatArray, true: FloatArray) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014); 0 is equal.

    Constants as in the paper and in `piq`: grey, halved in size, Prewitt, c = 170 / 255^2 on 0..1.
    """
    kernel = np.array([[1, 0, -1]] * 3, np.float64) / 3
    strength = []
    for image in (picture, true):
        grey = image @ np.array([0.299, 0.587, 0.114]) / 255
        height, width = (n // 2 * 2 for n in grey.shape)
        small = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        across = cv2.filter2D(small, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)
        along = cv2.filter2D(small, cv2.CV_64F, kernel.T, borderType=cv2.BORDER_CONSTANT)
        strength.append(np.hypot(across, along))
    a, b = strength
    constant = 170 / 255**2
    similarity = (2 * a * b + constant) / (a * a + b * b + constant)
    return float(similarity.std())


def gradient_energy(picture: FloatArray, mask: FloatArray) -> float:
    """Sum of squared differences between neighbours inside the mask."""
    both = (mask[1:, 1:] > 0.5)[..., None]
    across = np.square(picture[1:, 1:] - picture[1:, :-1])
    along = np.square(picture[1:, 1:] - picture[:-1, 1:])
    return float(((across + along) * both).sum())
