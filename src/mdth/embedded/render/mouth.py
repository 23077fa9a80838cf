"""The mouth layer: what is behind the lips, laid into a frame with a soft edge.

A trained network paints it from the drawn cavity, and changes the lips' rim where the warp alone
would leave it as it lies in the portrait. Teeth that the portrait shows itself are laid over it.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render import mouth_network
from mdth.embedded.render.cavity import Cavity, View
from mdth.embedded.render.conditions import (
    SIZES,
    WIDTH,
    conditions,
    cut_out,
    look,
    rim_change,
    shown,
)
from mdth.embedded.render.lips import Cover, Layer, cover, lay, lip_outline
from mdth.embedded.render.motion import Rigid, box
from mdth.embedded.render.mouth_network import MouthNetwork
from mdth.face import geometry
from mdth.face.smoothing import smoothstep

# Room around the lips, eye distances.
MARGIN = 0.1
# The line between closed lips, relative to the lips' inner colour.
LIP_LINE = 0.6
# Lips nearer than this, eye distances, show their dark line rather than teeth.
NARROW = 0.055
# How far the line of shut lips reaches over what the portrait shows between them, eye distances.
SEAM = 0.005
# Lips that cover less of their brightest pixel than this are shut.
SHUT = 0.02
# Cut-outs that would be shrunk by more than this are painted at the larger size.
LARGE = 0.75


def fill(
    outline: FloatArray, size: tuple[int, int], unit: float, seam: float, narrow: float = NARROW
) -> Cover:
    """The lips' outline [N,2] px filled for `lay`; unit: px per eye distance. seam: `Cavity`'s."""
    line_px = round(SEAM * unit * seam)
    return cover(outline, size, max(0.7, 0.008 * unit), narrow * unit, line_px=line_px)


class MouthPainter:
    """Paints the inside of one portrait's mouth into its frames.

    network, cavity: instead of the shipped one, and of the portrait's own.
    """

    narrow = NARROW
    line: FloatArray | float = LIP_LINE

    def __init__(
        self,
        portrait: Portrait,
        network: MouthNetwork | None = None,
        cavity: Cavity | None = None,
    ) -> None:
        self._cavity = cavity or Cavity(portrait)
        self._network = network or mouth_network.shipped()
        self._tone = self._cavity.tone
        large = SIZES[0][0] < LARGE * WIDTH * self._cavity.eye_distance
        self._size = SIZES[int(large)]

    def paint(self, frame: Frame, driving: FloatArray, rigid: Rigid) -> None:
        """Paint the inside over `frame` (RGB uint8 [H,W,3], changed in place) where lips part."""
        unit = self._cavity.eye_distance
        outline = self.outline(driving)
        margin = MARGIN * unit
        low, high = box(outline, (frame.shape[1], frame.shape[0]), room=(margin, margin))
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 4:
            return
        seam = self.seam(driving)
        filled = fill(outline - low, size, unit, seam, self.narrow)
        if (filled.inside * np.maximum(filled.open, seam)).max() < SHUT:
            return
        view = View(np.column_stack([np.eye(2), -low]), size)
        part = frame[low[1] : high[1], low[0] : high[0]]
        lay(
            part,
            self.inside(frame, part, driving, rigid, filled=filled, view=view),
            filled,
            self.line * self._cavity.light.flesh,
            seam,
        )

    def seam(self, driving: FloatArray) -> float:
        """How much of the line of closed lips is drawn where the driving mesh's close."""
        return self._cavity.seam

    def outline(self, driving: FloatArray) -> FloatArray:
        """The closed line [N,2] px around what is painted."""
        return lip_outline(driving)

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
        """What is behind the lips of a part of the frame [h,w,3]; their rim there is changed."""
        cavity = self._cavity
        bones = cavity.bones(driving, rigid)
        seen = look(cavity, bones, driving, self._size)
        planes = conditions(cavity, bones, seen, cut_out(frame, seen.view))
        painted = self._network.paint(planes, self._tone)
        inside = redrawn(cv2.merge(tuple(painted)), seen.view, onto=view)
        # Lips that are as in the portrait stay as they are there.
        moved = abs(
            float(geometry.lip_opening(driving)) / self._cavity.eye_distance - self._cavity.gap
        )
        change = rim_change(planes, painted, self._tone)
        change *= np.float32(smoothstep(moved / NARROW))
        change = redrawn(cv2.merge(tuple(change)), seen.view, onto=view)
        cv2.add(part, change, part, dtype=cv2.CV_8U)
        cavity.keep_own(inside, bones, filled.inside, view)
        return inside


def redrawn(colours: Layer, view: View, *, onto: View) -> Layer:
    """Colours [h,w,3] over one view of a frame, as another view shows them."""
    matrix = onto.of(np.asarray(cv2.invertAffineTransform(view.matrix), float))
    kind = cv2.INTER_LINEAR if view.scale > 1 else cv2.INTER_CUBIC
    return shown(colours, matrix, onto.size, kind=kind)
