"""One frame of a clip with its lower face as another mesh has it, as a patch of that frame.

Each frame is its own portrait. The head rests, so only lips, jaw, cheeks and the skin below the jaw
move; everything fades out inside the patch, whose edge is the frame itself.
"""

from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.clip.mouths import Choice, Mouths
from mdth.embedded.clip.own_mouth import OwnMouth, lip_ring, relit
from mdth.embedded.motion import mouth
from mdth.embedded.render.background import fill
from mdth.embedded.render.hinge import outside
from mdth.embedded.render.light import Light
from mdth.embedded.render.lips import cover, lip_outline
from mdth.embedded.render.motion import Grid, Rigid, box
from mdth.embedded.render.surround import inverted
from mdth.embedded.render.warp import Field, Warp
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep
from mdth.media.planes import Patch

RESTING = Rigid(np.eye(3), np.zeros(3))
# The cut-out around a face, and how far under the jaw the skin goes along, eye distances.
ROOM, REACH = 0.75, 0.3
# What moves less than this is left as it is, px; the patch's edge is so soft, eye distances.
STILL_PX, SOFT = 0.05, 0.03
# How soft the edge of what is taken out from between the lips is, eye distances.
EMPTY = 0.008
# So far above and below the corners, where it is dark, it is taken out too, eye distances.
CORNER = 0.02
# Lips that part so far are emptied from corner to corner, eye distances.
OPEN = 0.06


class JawField:
    """Where the skin around a face goes when its outline moves; see `surround.Surround`."""

    known = False

    def __init__(self, portrait: Portrait, step: int) -> None:
        mesh = portrait.mesh.astype(np.float64)
        cells = [-(-length // step) for length in portrait.image.shape[1::-1]]
        self.step, self.region = step, (0, 0, cells[0] * step, cells[1] * step)
        axes = [(step - 1) / 2 + step * np.arange(n, dtype=float) for n in cells]
        nodes = np.stack(np.meshgrid(*axes), -1)
        self.near = np.ones(nodes.shape[:2], bool)
        self._oval = mesh[topology.FACE_OVAL]
        unit = float(geometry.eye_distance(mesh))
        x, y = (nodes[..., None, k] - self._oval[:, k] for k in (0, 1))
        nearness = (np.asarray(x * x + y * y, np.float32) + np.float32(1e-3)) ** -1.5
        away = np.maximum(outside(mesh, nodes), 0) / (REACH * unit)
        reach = np.exp(-np.square(away)) / nearness.sum(-1)
        self._skin = nearness * reach[..., None]

    def field(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """What to add to a cell's place to get its source, [H,W,2] px."""
        own = driving[topology.FACE_OVAL, :2] - self._oval[:, :2]
        return inverted((self._skin @ own).astype(np.float32), self.step)


class Work(NamedTuple):
    """What is to be drawn: meshes [478,3] px of the frame and of what it shall show.

    They differ in what speech moves alone. amount: how much of it is laid over, 0 to 1. choice: of
    the person's own mouths, where there are any.
    """

    own: FloatArray
    wanted: FloatArray
    amount: float
    choice: Choice | None


def draw(frame: Frame, work: Work, light: Light, mouths: Mouths | None) -> Patch:
    """The frame RGB uint8 [H,W,3] with another lower face; light, mouths: the clip's."""
    own, wanted = work.own, work.wanted
    unit = float(geometry.eye_distance(own))
    low, high = _cut(own, frame, unit)
    shift = np.array([*low, 0], float)
    mesh, driving = own - shift, wanted - shift
    image = frame[low[1] : high[1], low[0] : high[0]].copy()
    lit = relit(light, image, mesh)
    portrait = Portrait(_emptied(image, mesh, unit), mesh)
    warp = Warp(portrait, JawField)
    field = _even(warp.field(driving, RESTING), driving)
    picture = warp.apply(field, driving)
    OwnMouth(portrait, lit, mouths, work.choice).paint(picture, driving, RESTING)
    return Patch(
        int(low[0]), int(low[1]), picture, work.amount * _alpha(field, driving, image, unit)
    )


def _even(field: Field, driving: FloatArray) -> Field:
    """The map, in place, without what thin triangles at the lips' corners leave: single pixels."""
    size = field.shift.shape[1::-1]
    low, high = box(driving[topology.LIPS_OUTER, :2] - field.origin, size, room=(3, 3))
    part = field.shift[low[1] : high[1], low[0] : high[0]]
    if part.size:
        part[:] = cv2.merge([cv2.medianBlur(way, 3) for way in cv2.split(part)])
    return field


def _cut(own: FloatArray, frame: Frame, unit: float) -> tuple[topology.IndexArray, ...]:
    """First and last corner [2] px around what speech moves, and what goes along."""
    size = frame.shape[1::-1]
    return box(own[mouth.SPEECH_WEIGHTS > 0, :2], size, room=(ROOM * unit, ROOM * unit))


def _emptied(image: Frame, mesh: FloatArray, unit: float) -> Frame:
    """The picture, where the lips part they themselves carried on: no old tooth is left beside."""
    opened = float(geometry.lip_opening(mesh)) / unit
    low, high = box(mesh[topology.LIPS_OUTER, :2], image.shape[1::-1])
    part = image[low[1] : high[1], low[0] : high[0]]
    if opened < OPEN / 3 or not part.size:
        return image
    outline, soft, line = lip_outline(mesh) - low, max(0.7, EMPTY * unit), round(CORNER * unit)
    inside = cover(outline, part.shape[1::-1], soft, OPEN * unit, line_px=line).inside
    alpha = np.minimum(2 * inside, 1)
    ring = lip_ring(mesh, low, part.shape[:2])
    carried = fill(part.astype(np.float32), np.asarray(ring / 255, np.float32))
    share = smoothstep(opened / OPEN) * alpha[..., None]
    part[:] = np.round(part + share * (carried - part))
    return image


def _alpha(field: Field, driving: FloatArray, image: Frame, unit: float) -> Grid:
    """1 where something moves and on the lips, softly to 0 [h,w]."""
    changed = np.zeros(image.shape[:2], np.uint8)
    x, y = field.origin
    part = changed[y : y + field.shift.shape[0], x : x + field.shift.shape[1]]
    height, width = part.shape
    across, along = cv2.split(np.abs(field.shift[:height, :width]))
    part[:] = cv2.max(across, along) > STILL_PX
    cv2.fillPoly(changed, [np.round(driving[topology.LIPS_OUTER, :2]).astype(np.int32)], 1)
    side = 2 * max(1, round(SOFT * unit)) + 1
    soft = cv2.blur(changed.astype(np.float32), (side, side))
    return np.asarray(np.minimum(2 * soft, 1), np.float32)
