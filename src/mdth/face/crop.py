"""Square crops of a face, and the way back into the picture.

A pixel's centre has whole coordinates plus a half; a crop's matrix takes picture px to crop px.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame

SIZE_PX = 256
# Room around the box of a whole track, a fifth on each side: the square is this much larger.
TRACK_ROOM = 1.4
# Half the square's side in eye distances, and in distances from the eyes to the mouth; and how far
# down from the eyes its middle lies.
EYES_SHARE, MOUTH_SHARE, DOWN_SHARE = 2.0, 1.8, 0.1


@dataclass(frozen=True)
class Crop:
    """A square of a picture, turned and scaled to size x size px.

    matrix: [2,3], crop px = matrix @ (picture px, 1).
    """

    matrix: FloatArray
    size: int = SIZE_PX

    @property
    def scale(self) -> float:
        """Crop px for one px of the picture."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def back(self) -> FloatArray:
        """[2,3], picture px = back @ (crop px, 1)."""
        return np.asarray(np.linalg.inv(np.vstack([self.matrix, [0, 0, 1]]))[:2])

    def points(self, points: FloatArray) -> FloatArray:
        """Points [...,3] px of the picture -> px of the crop; the depth is scaled like the rest."""
        flat = points[..., :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(np.concatenate([flat, points[..., 2:] * self.scale], axis=-1))

    def cut(self, picture: Frame) -> Frame:
        """RGB uint8 [size,size,3]; what lies outside of the picture mirrors what is inside."""
        # Where the picture is finer than the crop, a larger one is cut and averaged.
        finer = max(1, int(np.ceil(1 / self.scale - 0.1)))
        matrix = between_centres(self.matrix * finer)
        size = self.size * finer
        large = cv2.warpAffine(
            picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        small = cv2.resize(large, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)


def between_centres(matrix: FloatArray) -> FloatArray:
    """A matrix [2,3] for OpenCV, to which a pixel's centre has whole coordinates."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return moved


def aligned(landmarks: FloatArray, *, size: int = SIZE_PX) -> Crop:
    """The square around a face of 68 landmarks [68,2+] px, upright between eyes and mouth.

    Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs", ICLR 2018, appendix C, which FFHQ
    keeps: x' = e1 - e0, y' = (e0 + e1)/2 - (m0 + m1)/2, centre (e0 + e1)/2 - 0.1 y', side
    max(4 |x'|, 3.6 |y'|), axis x' - rotate90(y').
    """
    points = np.asarray(landmarks, np.float64)[:, :2]
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth = (left + right) / 2, (points[48] + points[54]) / 2
    across, down = right - left, mouth - eyes
    axis = across + np.array([down[1], -down[0]])
    axis /= np.linalg.norm(axis)
    half = max(EYES_SHARE * np.linalg.norm(across), MOUTH_SHARE * np.linalg.norm(down))
    return _square(eyes + DOWN_SHARE * down, axis, float(half), size=size)


def around(low: FloatArray, high: FloatArray, *, size: int = SIZE_PX) -> Crop:
    """The upright square around a box, its first and last corner [2] px, with room around it."""
    half = TRACK_ROOM * float((high - low).max()) / 2
    return _square((low + high) / 2, np.array([1.0, 0.0]), half, size=size)


def _square(centre: FloatArray, axis: FloatArray, half: float, *, size: int) -> Crop:
    scale = size / (2 * half)
    turn = scale * np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])
    return Crop(np.column_stack([turn, size / 2 - turn @ centre]), size)
