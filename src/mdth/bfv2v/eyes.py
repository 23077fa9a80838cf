"""The eyeball behind the lids: it turns with the gaze and is covered, not squashed, by a blink."""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import Portrait
from mdth.bfv2v.motion import Rigid, sample
from mdth.bfv2v.mouth import cover
from mdth.face import geometry, topology

FloatArray = npt.NDArray[np.floating]

# Below this change of the lids or irises, px, the warped picture is already right.
STILL_PX = 0.05


class EyePainter:
    """Draws one portrait's eyeballs into its frames."""

    def __init__(self, portrait: Portrait) -> None:
        self._image = portrait.image
        self._mesh = portrait.mesh.astype(np.float64)
        self._soft = max(0.6, 0.006 * float(geometry.eye_distance(self._mesh)))

    def paint(self, frame: npt.NDArray[np.uint8], driving: FloatArray, rigid: Rigid) -> None:
        """Draw both eyes over `frame` (RGB uint8 [H,W,3], changed in place) between the lids."""
        for eye, iris in (
            (topology.EYE_LEFT, topology.IRIS_LEFT),
            (topology.EYE_RIGHT, topology.IRIS_RIGHT),
        ):
            resting = rigid.apply(self._mesh[np.concatenate([eye, iris])])[:, :2]
            moved = driving[np.concatenate([eye, iris]), :2]
            if np.abs(moved - resting).max() > STILL_PX:
                gaze = (moved[len(eye) :] - resting[len(eye) :]).mean(0)
                self._paint_one(frame, (moved[: len(eye)], resting[: len(eye)]), gaze, rigid)

    def _paint_one(
        self,
        frame: npt.NDArray[np.uint8],
        lids: tuple[FloatArray, FloatArray],
        gaze: FloatArray,
        rigid: Rigid,
    ) -> None:
        moved, resting = lids
        height, width = frame.shape[:2]
        low = np.maximum(np.floor(moved.min(0)).astype(int) - 3, 0)
        high = np.minimum(np.ceil(moved.max(0)).astype(int) + 4, [width, height])
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 3:
            return
        mask = cover(moved - low, size, self._soft)
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        place = np.stack([x, y], -1).astype(np.float64)
        # Eyes opened wider than the portrait's are stretched: there is nothing behind its lids.
        widened = float(np.ptp(moved[:, 1])) / max(float(np.ptp(resting[:, 1])), 1e-3)
        if widened > 1:
            place[..., 1] = resting[:, 1].mean() + (place[..., 1] - moved[:, 1].mean()) / widened
        place -= self._eyeball(place, resting) * gaze
        back = rigid.plane(self._mesh[topology.EYE_LEFT].mean(0))
        source = (place - back[:, 2]) @ np.linalg.inv(back[:, :2]).T
        eye = sample(self._image, source, cv2.INTER_CUBIC)
        part = frame[low[1] : high[1], low[0] : high[0]]
        mixed = part + mask[..., None] * (eye.astype(np.float32) - part)
        part[:] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)

    @staticmethod
    def _eyeball(place: FloatArray, lids: FloatArray) -> FloatArray:
        """How much of the gaze a place follows: 1 at the iris, 0 at the corners, [h,w,1]."""
        middle = lids.mean(0)
        reach = np.ptp(lids[:, 0]) / 2
        fall: FloatArray = np.clip(1 - np.square((place[..., 0] - middle[0]) / reach), 0, 1)
        return fall[..., None]
