"""One frame of a clip with its lower face as another mesh has it, as a patch of that frame.

Each frame is its own portrait. The head rests, so only lips, jaw, cheeks and the skin below the jaw
move; everything fades out inside the patch, whose edge is the frame itself.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render.hinge import outside
from mdth.embedded.render.motion import Grid, Rigid, sample
from mdth.embedded.render.mouth import MouthPainter
from mdth.embedded.render.surround import FIXED_POINT_STEPS
from mdth.embedded.render.warp import Warp
from mdth.face import geometry, topology
from mdth.media.film_writer import Patch

RESTING = Rigid(np.eye(3), np.zeros(3))
# The cut-out around a face, and how far under the jaw the skin goes along, eye distances.
ROOM, REACH = 0.75, 0.3
# What moves less than this is left as it is, px; the patch's edge is so soft, eye distances.
STILL_PX, SOFT = 0.05, 0.03


class JawField:
    """Where the skin around a face goes when its outline moves; see `surround.Surround`."""

    known = False

    def __init__(self, portrait: Portrait, step: int) -> None:
        mesh = portrait.mesh.astype(np.float64)
        cells = [-(-length // step) for length in portrait.image.shape[1::-1]]
        self.step, self.region = step, (0, 0, cells[0] * step, cells[1] * step)
        axes = [(step - 1) / 2 + step * np.arange(n, dtype=float) for n in cells]
        self._nodes = np.stack(np.meshgrid(*axes), -1)
        self.near = np.ones(self._nodes.shape[:2], bool)
        self._oval = mesh[topology.FACE_OVAL]
        unit = float(geometry.eye_distance(mesh))
        square = np.square(self._nodes[:, :, None] - self._oval[:, :2]).sum(-1)
        nearness = 1 / (square + 1e-3) ** 1.5
        away = np.maximum(outside(mesh, self._nodes), 0) / (REACH * unit)
        reach = np.exp(-np.square(away)) / nearness.sum(-1)
        self._skin = nearness * reach[..., None]

    def field(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """What to add to a cell's place to get its source, [H,W,2] px."""
        own = driving[topology.FACE_OVAL, :2] - self._oval[:, :2]
        forward = (self._skin @ own).astype(np.float32)
        target = source = self._nodes.astype(np.float32)
        first = np.float32((self.step - 1) / 2)
        for _ in range(FIXED_POINT_STEPS):
            source = target - sample(forward, (source - first) / self.step, cv2.INTER_LINEAR)
        return np.asarray(source - target)


def draw(frame: Frame, own: FloatArray, wanted: FloatArray, amount: float = 1.0) -> Patch:
    """The frame RGB uint8 [H,W,3], whose face is `own`, with the lower face of `wanted`.

    Both meshes [478,3] px differ in what speech moves alone. amount: how much of it is laid over.
    """
    unit = float(geometry.eye_distance(own))
    low, high = _cut(own, frame, unit)
    shift = np.array([*low, 0], float)
    mesh, driving = own - shift, wanted - shift
    image = np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])
    portrait = Portrait(image, mesh.astype(np.float32))
    warp = Warp(portrait, JawField)
    field = warp.field(driving, RESTING)
    picture = warp.apply(field, driving)
    MouthPainter(portrait).paint(picture, driving, RESTING)
    return Patch(int(low[0]), int(low[1]), picture, amount * _alpha(picture, image, unit))


def _cut(own: FloatArray, frame: Frame, unit: float) -> tuple[FloatArray, FloatArray]:
    room = ROOM * unit
    size = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(own[:, :2].min(0) - room), 0, size - 1).astype(int)
    return low, np.clip(np.ceil(own[:, :2].max(0) + room), low + 1, size).astype(int)


def _alpha(picture: Frame, image: Frame, unit: float) -> Grid:
    """1 where the picture differs, softly to 0 [h,w]."""
    changed = (cv2.absdiff(picture, image).max(-1) > 0).astype(np.uint8)
    side = 2 * max(1, round(SOFT * unit)) + 1
    wide = cv2.dilate(changed, np.ones((side, side), np.uint8)).astype(np.float32)
    return np.asarray(cv2.blur(wide, (side, side)), np.float32)
