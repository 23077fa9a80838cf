"""The mouth of a clip's frame: the person's own where the clip shows one, else painted."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.clip.mouths import Choice, Mouths, lips_in, show, upright
from mdth.embedded.render.background import fill
from mdth.embedded.render.cavity import Cavity, View
from mdth.embedded.render.light import FLESH, Light, cheeks
from mdth.embedded.render.lips import Cover, Layer, lip_outline
from mdth.embedded.render.motion import Rigid
from mdth.embedded.render.mouth import NARROW, MouthPainter, redrawn
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

# How much of the lips is shown with what is between them, where these are so far apart, eye
# distances.
RIM, OPEN = 0.35, 0.06
# The corners of a mouth are dark, so far from each end of its width.
DARK = 0.12
# Where a mouth shown and the frame's lips meet, as shares of cover, and how much its colours are
# changed there at most.
EDGE, MOST_OFF = (0.05, 0.5), 60.0
# The line between lips that a frame shows open, relative to their inner colour: a darker one is
# tracked as a gap.
LINE = np.array([0.82, 0.97, 0.97])


def lip_ring(
    mesh: FloatArray, low: topology.IndexArray, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Where the lips of a mesh have their colour [h,w], 0..255; low: x, y of the first pixel."""
    ring = np.zeros(shape[:2], np.uint8)
    inner, outer = (mesh[lips, :2] - low for lips in (topology.LIPS_INNER, topology.LIPS_OUTER))
    for edge, value in (((inner + outer) / 2, 255), (inner, 0)):
        cv2.fillPoly(ring, [np.round(16 * edge).astype(np.int32)], value, cv2.LINE_AA, 4)
    left, right = inner[:, 0].min(), inner[:, 0].max()
    room = DARK * (right - left)
    ring[:, : max(0, round(left + room))] = ring[:, max(0, round(right - room)) :] = 0
    return ring


def relit(light: Light, image: Frame, mesh: FloatArray) -> Light:
    """A clip's light as it falls on the face of one frame, which shows its own lips."""
    left, right = cheeks(image, mesh)
    skin = (left + right) / 2
    gain = skin / np.maximum(light.skin, 1)
    colours = {name: getattr(light, name) * gain for name in ("tooth", "flesh", "dark")}
    lips = image[lip_ring(mesh, np.zeros(2, int), image.shape) > 127]
    if len(lips):
        colours["flesh"] = FLESH * np.median(lips, 0)
    slope = float(np.clip((right.mean() - left.mean()) / (skin.mean() + 1) / 1.1, -0.5, 0.5))
    return replace(light, skin=skin, slope=slope, **colours)


class OwnMouth(MouthPainter):
    """Paints the mouth of one frame; see `MouthPainter`."""

    line = LINE

    def __init__(
        self, portrait: Portrait, light: Light, mouths: Mouths | None, choice: Choice | None
    ) -> None:
        super().__init__(portrait, cavity=Cavity(portrait, show_own=False, light=light))
        self._mouths, self._choice, self._skin = mouths, choice, light.skin
        # What is seen between lips that close is in the pictures.
        self.narrow = NARROW * (1 - choice.share if choice else 1.0)

    def outline(self, driving: FloatArray) -> FloatArray:
        """The inner lips, and of a mouth that is shown their rim too, so that both are of one."""
        wider = driving.copy()
        inner, outer = driving[topology.LIPS_INNER], driving[topology.LIPS_OUTER]
        wider[topology.LIPS_INNER] = inner + RIM * self._shown(driving) * (outer - inner)
        return lip_outline(wider)

    def seam(self, driving: FloatArray) -> float:
        """None where a mouth is shown, which has its corners."""
        return super().seam(driving) * (1 - self._shown(driving))

    def _shown(self, driving: FloatArray) -> float:
        """How much of a mouth is shown, 0 to 1."""
        opened = geometry.lip_opening(driving) / geometry.eye_distance(driving)
        share = self._choice.share if self._choice else 0.0
        return share * float(smoothstep(opened / OPEN))

    def inside(
        self,
        frame: Frame,
        part: Frame,
        driving: FloatArray,
        rigid: Rigid,
        *,
        filled: Cover,
        view: View,
    ) -> Layer:
        """What is behind the lips of a part of the frame [h,w,3]."""
        share = self._choice.share if self._choice else 0.0
        painted = own = None
        if share < 1:
            painted = super().inside(frame, part, driving, rigid, filled=filled, view=view)
        if self._mouths and self._choice and share > 0:
            height, width = self._mouths.inside.shape[1:3]
            there = upright(driving, (width, height))
            seen = show(self._mouths, self._choice, lips_in(driving, there), self._skin)
            own = _matched(redrawn(seen, there, onto=view), part, filled)
        if own is None or painted is None:
            return np.asarray(painted if own is None else own)
        return np.asarray(painted + share * (own - painted))


def _matched(own: Layer, part: Frame, filled: Cover) -> Layer:
    """A mouth [h,w,3] in the colours of the frame's lips around it, carried on over it."""
    edge = np.asarray((filled.inside > EDGE[0]) & (filled.inside < EDGE[1]), np.float32)
    if not edge.any():
        return own
    return own + fill(np.clip(part - own, -MOST_OFF, MOST_OFF).astype(np.float32), edge)
