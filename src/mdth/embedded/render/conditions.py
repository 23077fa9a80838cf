"""What the mouth network sees: an upright cut-out around the lips, with the bones in it."""

from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.render.cavity import Bones, Cavity, View
from mdth.embedded.render.lips import Layer, filled, lip_outline
from mdth.embedded.render.motion import AnyArray
from mdth.embedded.render.tone import Tone
from mdth.face import topology

# The cut-out, eye distances, and its size for small and large portraits, px.
WIDTH, HEIGHT = 0.8, 0.5
SIZES = ((128, 80), (192, 120))
CHANNELS = 14
# How far around the lips a network changes the face, of the cut-out's width.
RIM = 0.03
# Vertices whose middle is the cut-out's: mouth corners, upper and lower lip.
_CENTRE = [*topology.MOUTH_CORNERS, 0, 17]


class MouthView(NamedTuple):
    """The cut-out of one frame: view, inside of the lips [h,w], drawn colours RGB [3,h,w]."""

    view: View
    inside: Layer
    drawn: Layer


def mouth_view(cavity: Cavity, bones: Bones, driving: FloatArray, size: tuple[int, int]) -> View:
    """The upright rectangle around a driving mesh's mouth, turned with the skull."""
    along = bones.skull[:, :2] @ cavity.along
    unit = cavity.eye_distance * float(np.linalg.norm(along))
    cos, sin = along / np.linalg.norm(along)
    scale = size[0] / (WIDTH * unit)
    turn = scale * np.array([[cos, sin], [-sin, cos]])
    middle = np.array(size) / 2 - 0.5
    return View(np.column_stack([turn, middle - turn @ driving[_CENTRE, :2].mean(0)]), size)


def look(cavity: Cavity, bones: Bones, driving: FloatArray, size: tuple[int, int]) -> MouthView:
    """Cut out and draw the mouth of one driving mesh [478,3] px."""
    view = mouth_view(cavity, bones, driving, size)
    outline = lip_outline(driving) @ view.matrix[:, :2].T + view.matrix[:, 2]
    inside = filled(outline, size, max(0.7, 0.008 * size[0] / WIDTH))
    return MouthView(view, inside, cavity.draw(bones, inside, view))


def conditions(cavity: Cavity, bones: Bones, seen: MouthView, around: Layer) -> Layer:
    """The network's input [14,h,w], about -1..1, colours relative to the skin (see `Tone`).

    0-2 the warped face with its lips filled by flesh, 3 the filled lips, 4-6 the drawn inside, 7 x
    and 8 y from the closed lips in the skull and 9 y in the jaw (eye distances, times 3), 10 how
    many picture px make a px here (log2, halved), 11-13 tooth colour. `around` is the warped face
    over the view, RGB 0..255 [h,w,3].
    """
    width, height = seen.view.size
    light, tone = cavity.light, cavity.tone
    planes = np.empty((CHANNELS, height, width), np.float32)
    face = np.array(cv2.split(around), np.float32)
    face += seen.inside * (light.flesh.astype(np.float32)[:, None, None] - face)
    planes[0:3] = tone.relative(face)
    planes[3] = seen.inside
    planes[4:7] = tone.relative(seen.drawn)
    stomion = np.append(cavity.stomion[:2], 1)
    (x, y), (_, below) = (seen.view.of(bone) @ stomion for bone in bones)
    step = 3 * WIDTH / width
    planes[7] = (np.arange(width) - x) * step
    planes[8], planes[9] = ((np.arange(height)[:, None] - zero) * step for zero in (y, below))
    planes[10] = np.clip(-np.log2(seen.view.scale) / 2, -1.5, 1.5)
    planes[11:14] = tone.relative(light.tooth)[:, None, None]
    return planes


def rim(inside: Layer) -> Layer:
    """A soft rim around the lips' inside [h,w], 0..1 [h,w]."""
    side = 2 * max(1, round(RIM * inside.shape[1])) + 1
    soft = cv2.blur(cv2.dilate(inside, np.ones((side, side), np.uint8)), (side, side))
    return np.asarray(np.maximum(soft - inside, 0))


def rim_change(planes: Layer, painted: Layer, tone: Tone) -> Layer:
    """What colours [3,h,w] painted from conditions [14,h,w] change around the lips, RGB [3,h,w]."""
    return np.asarray(rim(planes[3]) * (painted - tone.absolute(planes[:3])), np.float32)


def cut_out(frame: AnyArray, view: View) -> Layer:
    """A frame's colours over a view, RGB float32 [h,w,3]; averaged first where much larger."""
    matrix = view.matrix
    if view.scale < 0.6:
        # Linear sampling alone would alias; the network has to see what an eye would.
        frame, matrix = _averaged(frame, view)
    kind = cv2.INTER_LINEAR if view.scale < 1 else cv2.INTER_CUBIC
    return shown(frame, matrix, view.size, kind=kind)


def shown(picture: AnyArray, matrix: FloatArray, size: tuple[int, int], *, kind: int) -> Layer:
    """A picture moved by an affine [2,3], float32; beyond its border the border's colours."""
    moved = cv2.warpAffine(picture, matrix, size, flags=kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _averaged(frame: AnyArray, view: View) -> tuple[AnyArray, FloatArray]:
    """The part of a frame that a view shows, blurred, and the view's matrix from it."""
    back = np.asarray(cv2.invertAffineTransform(view.matrix), float)
    ends = np.array([[0, 0], [view.size[0], 0], [0, view.size[1]], view.size])
    corners = ends @ back[:, :2].T + back[:, 2]
    room = 2 / view.scale
    edge = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(corners.min(0) - room).astype(int), 0, edge - 1)
    high = np.clip(np.ceil(corners.max(0) + room).astype(int), low + 1, edge)
    part = cv2.GaussianBlur(frame[low[1] : high[1], low[0] : high[0]], (0, 0), 0.4 / view.scale)
    matrix = view.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ low
    return np.asarray(part), matrix
