"""A head made in a crop, put back into the whole picture with a soft edge."""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.face.crop import Crop, between_centres
from mdth.face.smoothing import smoothstep

# How wide the soft edge is, as a share of the crop's side.
SOFT_SHARE = 1 / 8


class Paster:
    """Puts frames of one crop back into its picture; what stays the same is made once."""

    def __init__(self, picture: Frame, crop: Crop) -> None:
        """picture: RGB uint8 [H,W,3], which stays bit by bit where the crop is not."""
        self._picture = picture
        low, high = _covered(crop, picture)
        self._part = slice(low[1], high[1]), slice(low[0], high[0])
        self._extent = int(high[0] - low[0]), int(high[1] - low[1])
        # A crop finer than its picture is averaged before it is turned.
        self._side = min(crop.size, max(1, round(crop.size / crop.scale)))
        shrunk = crop.back.copy()
        shrunk[:, :2] *= crop.size / self._side
        self._matrix = _moved(shrunk, low)
        edge = soft_edge(crop.size)
        shares = cv2.warpAffine(edge, _moved(crop.back, low), self._extent) if self._fits else edge
        self._shares: FloatArray = np.asarray(shares, np.float32)[..., None]
        self._below = picture[self._part].astype(np.float32)

    @property
    def _fits(self) -> bool:
        return min(self._extent) > 0

    def paste(self, made: Frame) -> Frame:
        """The whole picture RGB uint8 [H,W,3] with `made` RGB uint8 [size,size,3] in it."""
        whole = self._picture.copy()
        if not self._fits:
            return whole
        small = made
        if self._side < len(made):
            size = self._side, self._side
            small = np.asarray(cv2.resize(made, size, interpolation=cv2.INTER_AREA), np.uint8)
        turned = cv2.warpAffine(
            small,
            self._matrix,
            self._extent,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mixed = self._below + self._shares * (turned.astype(np.float32) - self._below)
        whole[self._part] = np.round(mixed).astype(np.uint8)
        return whole


def soft_edge(size: int) -> npt.NDArray[np.float32]:
    """How much of the crop shows [size,size]: all inside, nothing at its border."""
    inside = np.minimum(np.arange(size), np.arange(size)[::-1]) / (SOFT_SHARE * size)
    rise = smoothstep(inside)
    return np.outer(rise, rise).astype(np.float32)


def _moved(back: FloatArray, low: npt.NDArray[np.intp]) -> FloatArray:
    matrix = between_centres(back)
    matrix[:, 2] -= low
    return matrix


def _covered(crop: Crop, picture: Frame) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The crop's box in the picture, px: its first and its last corner."""
    ends = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * crop.size
    corners = ends @ crop.back[:, :2].T + crop.back[:, 2]
    bounds = np.array([picture.shape[1], picture.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)), 0, bounds).astype(np.intp)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, bounds).astype(np.intp)
    return low, high
