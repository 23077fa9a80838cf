"""What skin does when it moves and a warp cannot bring: folds beside the mouth, chin, shut lids.

A small network sees the warped skin and how far its vertices have gone, and says what changes and
where. The change is added to the frame at its own resolution: what needs none stays as it is.
"""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.cavity import View
from mdth.embedded.render.conditions import cut_out, rim, shown
from mdth.embedded.render.lips import Layer, filled, lip_outline
from mdth.embedded.render.motion import Rigid, box
from mdth.embedded.render.tone import SKIN, Tone, brightness
from mdth.errors import CheckpointError
from mdth.face import topology
from mdth.face.smoothing import smoothstep
from mdth.files import networks

if TYPE_CHECKING:
    import onnxruntime

CHANNELS = 5
# How far vertices went and where they are is told in these parts of the eye distance.
WENT, PLACE = 0.1, 0.3
# Vertices that went less far than the first change nothing, eye distances; further than the second,
# all that the network says.
STILL, MOVED = 0.01, 0.05
# How much of a change has the hue of skin.
SHADE = 0.75
# Of the lower face, px of what its network sees: a finer change may not take detail away.
FINE = 3.0
# By which share of its level the lower face's skin gets darker or lighter at most: beyond it nobody
# gets more alike, and a cheek got a bruise.
MOST = 0.15
# Of a lid, px of what its network sees: where its outer corner begins and how soon, and how far the
# skin is whose mean it may be as light as, by so much on the way to the lightest.
CORNER, NEAR, LIGHTEST = (10, 8), 5, 0.3
# How far the change fades at the cut-out's edge, of its height.
FADE = 0.15


class Area(NamedTuple):
    """A part of the face: the vertices that tell how it moves, and those in whose middle it lies.

    width: eye distances. size: (width, height) px of what the network sees. eye: 0 the viewer's
    left, 1 the right, which is seen as in a mirror; None the lower face.
    """

    name: str
    vertices: topology.IndexArray
    centre: tuple[int, ...]
    width: float
    size: tuple[int, int]
    eye: int | None = None

    @property
    def ways(self) -> int:
        """How many numbers tell how it moves."""
        return 4 * len(self.vertices)


LOWER = Area(
    "lower_face",
    np.array(
        [61, 291, 0, 17, 13, 14, 37, 267, 84, 314, 40, 270, 91, 321, 205, 425, 50, 280, 206, 426]
        + [216, 436, 202, 422, 129, 358, 2, 18, 152, 199, 148, 377]
    ),
    (*topology.MOUTH_CORNERS, 0, 17),
    1.3,
    (104, 80),
)
LIDS = tuple(
    Area(
        "lids",
        np.concatenate([ring[0], ring[1, 1:8], ring[2, 1:8:3]]),
        (int(ring[0, 0]), int(ring[0, 8])),
        0.56,
        (64, 48),
        eye,
    )
    for eye, ring in enumerate(topology.EYES)
)


class Seen(NamedTuple):
    """What a network sees: planes [5,h,w] over a view, ways [K] of the vertices.

    Planes 0-2 are the warped skin relative to the portrait's, 3 says where it may change, 4 how
    many picture px make a px here (log2, halved). skin: RGB 0..255 [3,h,w]. amount 0..1: how much
    of the change shows.
    """

    planes: Layer
    skin: Layer
    ways: Layer
    view: View
    amount: float


class Skin:
    """One area of one portrait: mesh [478,3] px, tone of its skin."""

    def __init__(self, area: Area, mesh: FloatArray, tone: Tone) -> None:
        self.area, self.tone = area, tone
        self._mesh = mesh
        width, height = area.size
        x, y = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (width, height))
        self._window = smoothstep(np.minimum.outer(y, x) / (FADE * height)).astype(np.float32)
        hue = tone.absolute(np.full((3, 1, 1), 2 * SKIN - 1, np.float32))
        self.hue = hue / hue.mean()

    def moved(self, driving: FloatArray, rigid: Rigid) -> float:
        """How much of a change shows under a driving mesh [478,3] px, 0..1."""
        vertices = self.area.vertices
        went = (driving[vertices] - rigid.apply(self._mesh[vertices]))[:, :2]
        far = np.linalg.norm(went, axis=1).max() / np.linalg.norm(self._along(rigid))
        return float(smoothstep((far - STILL) / (MOVED - STILL)))

    def _along(self, rigid: Rigid) -> FloatArray:
        """From one outer eye corner to the other, x, y px."""
        left, right = (self._mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
        return rigid.matrix[:2, :2] @ (right - left)

    def look(self, driving: FloatArray, rigid: Rigid) -> Seen:
        """The area under a driving mesh [478,3] px, its skin still to be filled in."""
        area = self.area
        width, height = area.size
        along = self._along(rigid)
        unit = float(np.linalg.norm(along))
        cos, sin = along / unit
        turn = np.array([[cos, sin], [-sin, cos]]) * width / (area.width * unit)
        if area.eye == 1:
            turn[0] *= -1
        centre = driving[list(area.centre), :2].mean(0)
        view = View(
            np.column_stack([turn, np.array(area.size) / 2 - 0.5 - turn @ centre]), area.size
        )
        now = driving[area.vertices]
        went, place = (
            way[:, :2] @ turn.T * (area.width / width)
            for way in (now - rigid.apply(self._mesh[area.vertices]), now[:, :2] - centre)
        )
        planes = np.empty((CHANNELS, height, width), np.float32)
        planes[3] = self._window * (1 - self._hole(driving, view))
        planes[4] = np.clip(-np.log2(view.scale) / 2, -1.5, 1.5)
        ways = np.concatenate([went / WENT, place / PLACE]).astype(np.float32).ravel()
        return Seen(planes, np.empty_like(planes[:3]), ways, view, self.moved(driving, rigid))

    def _hole(self, driving: FloatArray, view: View) -> Layer:
        """What others paint: the mouth with its rim, the eyeball, 0..1 [h,w]."""
        eye = self.area.eye
        outline = lip_outline(driving) if eye is None else driving[topology.EYES[eye][0], :2]
        inside = filled(outline @ view.matrix[:, :2].T + view.matrix[:, 2], view.size, 1.0)
        return np.asarray(inside if eye is not None else np.minimum(inside + rim(inside), 1))

    def fill(self, seen: Seen, frame: Frame) -> None:
        """The warped frame's skin, RGB uint8 [H,W,3], into what is seen."""
        seen.skin[:] = cut_out(frame, seen.view).transpose(2, 0, 1)
        seen.planes[:3] = self.tone.relative(seen.skin)


class SkinPainter:
    """Changes one area of one portrait's frames; network: instead of the shipped one."""

    def __init__(
        self,
        area: Area,
        mesh: FloatArray,
        tone: Tone,
        network: "onnxruntime.InferenceSession | None" = None,
    ) -> None:
        self._skin = Skin(area, mesh, tone)
        self._network = network or shipped(area.name)

    def paint(self, frame: Frame, driving: FloatArray, rigid: Rigid) -> None:
        """Change `frame` (RGB uint8 [H,W,3], in place) where the area's skin has moved."""
        if not self._skin.moved(driving, rigid):
            return
        seen = self._skin.look(driving, rigid)
        back = np.asarray(cv2.invertAffineTransform(seen.view.matrix), float)
        width, height = seen.view.size
        ends = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5
        edges = (frame.shape[1], frame.shape[0])
        low, high = box(ends @ back[:, :2].T + back[:, 2], edges)
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 4:
            return
        self._skin.fill(seen, frame)
        change = changed(self._network, seen, self._skin)
        back[:, 2] -= low
        part = frame[low[1] : high[1], low[0] : high[0]]
        cv2.add(part, shown(change, back, size, kind=cv2.INTER_LINEAR), part, dtype=cv2.CV_8U)


def changed(network: "onnxruntime.InferenceSession", seen: Seen, skin: Skin) -> Layer:
    """What a network changes over the view, RGB levels [h,w,3]."""
    given = {"planes": seen.planes[None], "ways": seen.ways[None]}
    (painted,) = network.run(None, given)
    before = seen.skin
    # Much of it is shade, in the hue of what is there, and light, in the skin's: neither red nor
    # blue lashes, no grey lids.
    change = skin.tone.absolute(painted[0]) - before
    level, was = brightness(change), brightness(before)
    if skin.area.eye is not None:
        less = _shining(was, level)
        change *= less
        level *= less
    shade = before / (was + 4)
    change += SHADE * (level * np.where(level < 0, shade, skin.hue) - change)
    if skin.area.eye is None:
        change *= np.minimum(1, MOST * was / np.maximum(np.abs(level), 1))
        change = _detailed(change, was, seen.planes[3])
    return np.asarray(cv2.merge(tuple(np.float32(seen.amount) * change)), np.float32)


def _shining(was: Layer, level: Layer) -> Layer:
    """Factor of a change of lids by `level`, 0..1 [h,w]: at the outer corner none is a light.

    There lashes are taken for a stretched edge; of dark skin the whole shadow became orange.
    """
    side = 2 * NEAR + 1
    mean = cv2.blur(was, (side, side))
    most = cv2.blur(cv2.dilate(was, np.ones((side, side), np.uint8)), (side, side))
    room = np.maximum(mean + LIGHTEST * (most - mean) - was, 0)
    outside = 1 - smoothstep((np.arange(was.shape[1], dtype=np.float32) - CORNER[0]) / CORNER[1])
    return np.asarray(1 - outside * (1 - np.minimum(1, room / np.maximum(level, 1))) * (level > 0))


def _detailed(change: Layer, level: Layer, where: Layer) -> Layer:
    """A change [3,h,w] of skin so bright [h,w] that leaves the pores.

    What is finer than FINE is changed only where that adds to what is there.

    All of it would make held-out people 0.2 dB more alike and take an eighth of the skin's gradient
    energy (`training.skin_measure`).
    """
    texture = level - cv2.GaussianBlur(level, (0, 0), FINE)
    broad = np.stack([cv2.GaussianBlur(plane, (0, 0), FINE) for plane in change])
    fine = change - broad
    adds = np.abs(texture + brightness(fine)) >= np.abs(texture)
    return np.asarray(where * (broad + adds * fine))


@cache
def shipped(name: str) -> "onnxruntime.InferenceSession":
    """A network in `weights`. Raises CheckpointError: missing or damaged."""
    session, _ = networks.load(name)
    if session.get_inputs()[0].shape[1] != CHANNELS:
        raise CheckpointError(f"{name}.onnx is not for this version; install mdth again")
    return session
