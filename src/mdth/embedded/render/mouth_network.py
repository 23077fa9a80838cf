"""The shipped mouth network: conditions -> colours inside the lips and at their rim.

Fine detail is raised, which an average of possible mouths lacks. How much, and whose teeth are
shown, was chosen by `training.mouth_measure` on the clips for choosing, and by looking at stills.
"""

from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mdth.embedded.render import lower_teeth, upper_teeth
from mdth.embedded.render.conditions import CHANNELS
from mdth.embedded.render.lips import Layer
from mdth.embedded.render.tone import Tone
from mdth.errors import CheckpointError
from mdth.files import networks

if TYPE_CHECKING:
    import onnxruntime

NAME = "mouth"
# Of a plane of conditions, log2 picture px a px, halved: where a portrait counts as soft, as sharp.
SOFT, SHARP = -0.5, 0.0
# How much the detail is raised on soft and sharp portraits; only what is brighter than around it,
# since dark flecks between teeth are what an eye finds first.
RAISED = (0.0, 1.0)
# Detail is what a blur of so many px takes away.
DETAIL_PX = 2.0


class MouthNetwork:
    """A mouth network on one CPU thread; `paint` may be called from several threads at once."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session

    def paint(self, planes: Layer, tone: Tone) -> Layer:
        """Conditions [14,h,w] (see `conditions`) -> colours RGB float32 0..255 [3,h,w]."""
        return finished(self.relative(planes), planes, tone)

    def relative(self, planes: Layer) -> Layer:
        """The network alone: colours relative to the skin, about -1..1 [3,h,w]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray(inside[0], np.float32)


@cache
def shipped() -> MouthNetwork:
    """The network in `weights`. Raises CheckpointError: missing or damaged."""
    session, _ = networks.load(NAME)
    channels = session.get_inputs()[0].shape[1]
    if channels != CHANNELS:
        raise CheckpointError(
            f"{NAME}.onnx takes {channels} planes, not {CHANNELS}; install mdth again"
        )
    return MouthNetwork(session)


def finished(painted: Layer, planes: Layer, tone: Tone) -> Layer:
    """Colours RGB 0..255 [3,h,w] of what was painted, relative to the skin, from conditions."""
    raised = float(np.interp(planes[10, 0, 0], (SOFT, SHARP), RAISED))
    # Only what is well inside of the lips, and by what is there.
    inside = planes[3]
    blurred = np.stack([_blurred(plane) for plane in painted * inside]) / (_blurred(inside) + 1e-3)
    detail = np.maximum(2 * inside - 1, 0) * np.maximum(painted - blurred, 0)
    colours = tone.absolute(painted + raised * detail)
    drawn, tooth = tone.absolute(planes[4:7]), tone.absolute(planes[11:14, 0, 0])
    upper = upper_teeth.shape(colours, drawn, planes, tooth)
    lower_teeth.shape(colours, painted, planes, upper)
    return colours


def _blurred(x: Layer) -> Layer:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), DETAIL_PX), np.float32)
