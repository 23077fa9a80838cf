"""The mouth layer: what is behind the lips, laid into a frame with a soft edge."""

import numpy as np
import numpy.typing as npt

from mdth.artefacts import Portrait
from mdth.bfv2v.cavity import Cavity, View
from mdth.bfv2v.lips import cover, lay, lip_outline
from mdth.bfv2v.motion import FloatArray, Rigid

# Room around the lips, eye distances.
MARGIN = 0.1
# The line between closed lips, relative to the lips' inner colour.
LIP_LINE = 0.75
# Lips nearer than this, eye distances, show their dark line rather than teeth.
NARROW = 0.045


class MouthPainter:
    """Paints the inside of one portrait's mouth into its frames."""

    def __init__(self, portrait: Portrait) -> None:
        self._cavity = Cavity(portrait)

    def paint(self, frame: npt.NDArray[np.uint8], driving: FloatArray, rigid: Rigid) -> None:
        """Draw the inside over `frame` (RGB uint8 [H,W,3], changed in place) where lips part."""
        unit = self._cavity.eye_distance
        outline = lip_outline(driving)
        height, width = frame.shape[:2]
        low = np.clip(np.floor(outline.min(0) - MARGIN * unit).astype(int), 0, [width, height])
        high = np.clip(np.ceil(outline.max(0) + MARGIN * unit).astype(int), low, [width, height])
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 4:
            return
        filled = cover(outline - low, size, max(0.7, 0.008 * unit), NARROW * unit)
        view = View(np.concatenate([np.eye(2), -low[:, None]], 1), size)
        bones = self._cavity.bones(driving, rigid)
        inside = self._cavity.draw(bones, filled.inside, view)
        part = frame[low[1] : high[1], low[0] : high[0]]
        lay(part, inside, filled, LIP_LINE * self._cavity.light.flesh, self._cavity.seam)
