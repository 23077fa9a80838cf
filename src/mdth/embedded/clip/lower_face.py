"""One frame of a clip with its lower face as another mesh has it, as a patch of that frame.

Each frame is its own portrait. The head rests, so only lips, jaw, cheeks and the skin below the jaw
move; everything fades out inside the patch, whose edge is the frame itself.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.motion import mouth
from mdth.embedded.render.hinge import outside
from mdth.embedded.render.motion import Grid, Rigid, box, sample
from mdth.embedded.render.mouth import MouthPainter
from mdth.embedded.render.surround import FIXED_POINT_STEPS
from mdth.embedded.render.warp import Field, Warp
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
    portrait = Portrait(image, mesh)
    warp = Warp(portrait, JawField)
    field = warp.field(driving, RESTING)
    picture = warp.apply(field, driving)
    MouthPainter(portrait).paint(picture, driving, RESTING)
    return Patch(int(low[0]), int(low[1]), picture, amount * _alpha(field, driving, image, unit))


def _cut(own: FloatArray, frame: Frame, unit: float) -> tuple[topology.IndexArray, ...]:
    """First and last corner [2] px around what speech moves, and what goes along."""
    size = frame.shape[1::-1]
    return box(own[mouth.SPEECH_WEIGHTS > 0, :2], size, room=(ROOM * unit, ROOM * unit))


def _alpha(field: Field, driving: FloatArray, image: Frame, unit: float) -> Grid:
    """1 where something moves and on the lips, softly to 0 [h,w]."""
    changed = np.zeros(image.shape[:2], np.uint8)
    x, y = field.origin
    part = changed[y : y + field.shift.shape[0], x : x + field.shift.shape[1]]
    height, width = part.shape
    part[:] = np.abs(field.shift[:height, :width]).max(-1) > STILL_PX
    cv2.fillPoly(changed, [np.round(driving[topology.LIPS_OUTER, :2]).astype(np.int32)], 1)
    side = 2 * max(1, round(SOFT * unit)) + 1
    soft = cv2.blur(changed.astype(np.float32), (side, side))
    return np.asarray(np.minimum(2 * soft, 1), np.float32)
